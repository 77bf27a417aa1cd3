"""What a model gets where a row lacks a value: NaN among numbers, None among text and booleans.

A batch says by a mask which rows have a value (DESIGN 2); only here, at a model's boundary, does
something stand for the others. Integers become floats by it, as in a DataFrame, in each row, so
that no row's value depends on whether its neighbours have one.
"""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array, Masked, Ragged
from pipeline.batch.tensors import FLOATS, numpy_dtype


def dtype_of_gaps(column: Masked, declared: str | None) -> str | None:
    """The dtype of numbers beside NaN; None where missing values are None.

    Args:
      column: of a batch.
      declared: the dtype that the model takes, if it says so.
    """
    values = column.values
    if isinstance(values, Ragged) or values.dtype.kind in "OUS":
        return None
    if declared in FLOATS:
        return declared
    if values.dtype.kind == "f":
        return str(values.dtype.name)
    return "float64" if values.dtype.kind in "iu" else None


def filled(column: Masked, declared: str | None) -> Array:
    """The column as an array, of the dtype that `dtype_of_gaps` says, else of objects.

    Raises:
      ValueError: it has rows of different length, or the model takes a dtype that has no value
        which means missing.
    """
    values, missing = column.values, ~column.present
    if isinstance(values, Ragged):
        raise ValueError("found rows without a value in a column of variable length")
    dtype = dtype_of_gaps(column, declared)
    if missing.any() and declared is not None and declared not in (*FLOATS, "string", "bytes"):
        raise ValueError(f"found rows without a value, for which {declared} has none")
    made = values.astype(object if dtype is None else numpy_dtype(dtype))
    made[missing] = None if dtype is None else np.nan
    return made
