"""Rows made up for a model, where nobody gave any: different ones, or zeros and empty text."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from pipeline.batch.columns import Array, BatchColumn, Column, Ragged, masked_like, values_of
from pipeline.batch.tensors import FLOATS, Shape, Signature, numpy_dtype
from pipeline.spec.model import ModelSpec

ROWS = 3
"""Enough that an order has a middle and two ends."""

_VARIABLE_AXIS = 8
"""Length given to an axis that may vary."""
_TEXTS = ("7", "-20", "12345")
"""Can be read as text, of different length, and as numbers."""
_SIZES = (1.0, 0.6, 0.3)
"""Of the floats of a row: a model that measures the rows of a call together shows it."""


def zeros(dtype: str, row_shape: Shape) -> Array:
    """Rows of zeros, or of empty text."""
    shape = _shape(row_shape)
    if dtype in ("string", "bytes"):
        return np.full(shape, "" if dtype == "string" else b"", dtype=object)
    return np.zeros(shape, dtype=numpy_dtype(dtype))


def different(name: str, dtype: str, row_shape: Shape) -> Array:
    """Rows that differ, the same in every process.

    Floats lie between 0 and 1. Integers are 0 and 1, which the smallest vocabularies have.

    Args:
      name: of the column; columns of one type have different values.
      dtype: of the column.
      row_shape: of the column.
    """
    shape = _shape(row_shape)
    if dtype in FLOATS:
        seeded = np.random.default_rng(zlib.crc32(name.encode()))
        sizes = np.reshape(_SIZES, (ROWS, *(1 for _ in row_shape)))
        return (sizes * seeded.uniform(0.05, 1.0, shape)).astype(numpy_dtype(dtype))
    number: Array = np.indices(shape).sum(axis=0)
    if dtype not in ("string", "bytes"):
        return np.asarray(number % 2, dtype=numpy_dtype(dtype))
    texts = np.array([t.encode() if dtype == "bytes" else t for t in _TEXTS], dtype=object)
    chosen: Array = texts[number % len(_TEXTS)]
    return chosen


def known_values(model: ModelSpec, signature: Signature) -> dict[str, Array]:
    """Column -> values that the model knows, for the columns of which it knows only some.

    Args:
      model: its entry.
      signature: what it says of its tensors.
    """
    found: dict[str, Array] = {}
    for tensor in signature.inputs or ():
        binding = model.column_inputs.get(tensor.name)
        if binding is not None and tensor.values:
            chosen = [tensor.values[row % len(tensor.values)] for row in range(ROWS)]
            is_text = isinstance(chosen[0], str)
            found[binding.column] = np.array(chosen, dtype=object if is_text else None)
        elif binding is not None and tensor.only is not None:
            found[binding.column] = np.full(ROWS, tensor.only, numpy_dtype(tensor.dtype or "int64"))
    return found


def usual_shapes(model: ModelSpec, signature: Signature) -> dict[str, Shape]:
    """Column -> shape of the rows to make up, for those of which the model takes no short ones.

    Args:
      model: its entry.
      signature: what it says of its tensors.
    """
    return {
        binding.column: tuple(tensor.usual_length if n is None else n for n in tensor.row_shape)
        for tensor in signature.inputs or ()
        if tensor.usual_length is not None and tensor.row_shape is not None
        for binding in [model.column_inputs.get(tensor.name)]
        if binding is not None
    }


def without_integers(columns: Mapping[str, BatchColumn]) -> Mapping[str, BatchColumn]:
    """The columns, with zero for each integer.

    On a GPU, an index beyond a vocabulary would end the process.
    """
    return {
        name: masked_like(column, _without_integers(values_of(column)))
        for name, column in columns.items()
    }


def _without_integers(column: Column) -> Column:
    if isinstance(column, Ragged):
        return Ragged(np.zeros_like(row) if row.dtype.kind in "iu" else row for row in column.rows)
    return np.zeros_like(column) if column.dtype.kind in "iu" else column


def _shape(row_shape: Shape) -> tuple[int, ...]:
    return (ROWS, *(_VARIABLE_AXIS if n is None else n for n in row_shape))
