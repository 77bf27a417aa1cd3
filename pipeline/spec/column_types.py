"""The type of a column, and the rules by which operations read and make types.

A rule raises TypesError where columns of such types cannot be read. Its words follow the name of
the operation, as in "concat cannot mix text and numbers".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from pipeline.batch.tensors import FLOATS, INTEGERS, Shape

Type = tuple[str, Shape]
"""A dtype name and the shape of a row; None is an axis whose length varies."""


class Gaps(IntEnum):
    """Where a column may lack values; the greater one is the worse.

    `ROWS`: some rows have no value. `INSIDE`: also in vectors of floats, as NaN.
    """

    NONE = 0
    ROWS = 1
    INSIDE = 2


NUMBERS = (*INTEGERS, *FLOATS)
TEXTS = ("string", "bytes")


class TypesError(ValueError):
    """An operation cannot read columns of these types; says why, as in "needs text".

    Attributes:
      positions: which of the columns that it reads do not fit together; empty for all of them.
    """

    def __init__(self, why: str, positions: Sequence[int] = ()) -> None:
        self.positions = tuple(positions)
        super().__init__(why)


def need(fulfilled: bool, what: str) -> None:
    """Makes sure that an operation has what it needs.

    Raises:
      TypesError: not `fulfilled`; "needs" and `what`.
    """
    if not fulfilled:
        raise TypesError(f"needs {what}")


def need_common_dtype(
    dtypes: Sequence[str], *, text: bool = False, any_numbers: bool = False
) -> str:
    """The dtype that holds the values of all columns: numbers and booleans, or text.

    Text and numbers are never mixed, and integers of which no integer type holds all (int64 and
    uint64) do not turn into floats.

    Args:
      dtypes: one for each column.
      text: whether the operation takes text and bytes.
      any_numbers: whether integers may become floats to have a common dtype.
    """
    texts = [dtype in TEXTS for dtype in dtypes]
    need(text or not any(texts), "numbers")
    if any(texts):
        if not all(texts):
            raise TypesError("cannot mix text and numbers")
        return dtypes[0]
    common = np.result_type(*dtypes).name
    floating = any(dtype in FLOATS for dtype in dtypes)
    one_type = floating or any_numbers or common not in FLOATS
    need(one_type, "one integer type that holds all values")
    return common


def floating(dtype: str) -> str:
    """float32 and float64 stay, float16 becomes float32, integers and booleans float64."""
    if dtype not in FLOATS:
        return "float64"
    return "float32" if dtype == "float16" else dtype


def widened(dtype: str) -> str:
    """The dtype in which values add up: 64 bits for integers and booleans, 32 for float16."""
    if dtype in FLOATS:
        return floating(dtype)
    return "uint64" if dtype.startswith("u") else "int64"


def one_shape(shapes: Sequence[Shape], which: str = "of one shape") -> Shape:
    """The shape that all columns have; where it may vary in one, it is that of another.

    Args:
      shapes: of the rows of each column, at least one.
      which: says in the error which columns are needed.
    """
    common = shapes[0]
    for position, shape in enumerate(shapes):
        if not _agree(common, shape):
            raise TypesError(f"needs columns {which}", (0, position))
        common = tuple(b if a is None else a for a, b in zip(common, shape, strict=True))
    return common


def joined_shape(shapes: Sequence[Shape]) -> Shape:
    """The shape of columns joined along the last axis; a single value counts as an axis of 1."""
    wide = [shape or (1,) for shape in shapes]
    outer = one_shape([shape[:-1] for shape in wide], "that agree in all axes but the last")
    length: int | None = 0
    for shape in wide:
        length = None if length is None or shape[-1] is None else length + shape[-1]
    return (*outer, length)


def need_last_axis(shape: Shape, least: int) -> None:
    """Makes sure that there is a last axis to work along, and that it can be long enough."""
    need(bool(shape), "a column with an axis to work along")
    need(shape[-1] is None or shape[-1] >= least, f"a last axis of at least {least}")


def _agree(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(
        n is None or m is None or n == m for n, m in zip(a, b, strict=True)
    )
