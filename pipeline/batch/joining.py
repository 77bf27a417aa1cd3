"""Joins the results of several calls, or of several rows, without changing a value.

What a model returns may depend on the rows of a call: integers here and floats there, or an empty
list, which has no element type. numpy would join int64 with float64, or with uint64, as float64,
which rounds; here values stay the same, or their rows are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.batch import casts, columns
from pipeline.batch.columns import Array, Column, Ragged


def common_dtype(arrays: Sequence[Array]) -> np.dtype[Any] | None:
    """The dtype in which all values stay the same; None if there is none.

    Arrays without elements do not count if others have some. Text goes with everything:
    `batch.texts` later reports elements that are not text.
    """
    filled = [array for array in arrays if array.size] or arrays
    dtypes: set[np.dtype[Any]] = {array.dtype for array in filled}
    if len(dtypes) == 1:
        return dtypes.pop()
    kinds = {dtype.kind for dtype in dtypes}
    if kinds & set("OUS"):
        return np.dtype(object)
    if "b" in kinds:
        return None
    common = np.result_type(*dtypes)
    if common.kind == "f" and kinds <= set("iu"):
        common = np.dtype(np.uint64)  # of int64 and uint64; correct if none is negative
    if any(casts.lost(array, common.name) is not None for array in filled):
        return None
    return common


def join(parts: Sequence[Column]) -> tuple[Column, dict[int, str]]:
    """The rows of all parts, one after the other, with one rank and one dtype.

    Args:
      parts: at least one, none without rows. The rows of a part agree in rank and dtype.

    Returns:
      the column, and row -> what was found and expected, for the rows of parts that do not fit the
      first; such a row holds the values of another row.
    """
    if len({(_rank(part), _dtype(part)) for part in parts}) == 1:
        return columns.concatenate(parts), {}
    like = next((part for part in parts if _size(part)), parts[0])
    same = [_of_rank(part, like) for part in parts]
    good = [part is not None and _dtype_of([like, part]) is not None for part in same]
    kept = [part for part, is_good in zip(same, good, strict=True) if is_good and part is not None]
    dtype = _dtype_of(kept)
    if dtype is None:  # each fits the first, but they do not all fit each other
        dtype = _dtype(like)
        good = [
            is_good and _dtype(part) == dtype for part, is_good in zip(parts, good, strict=True)
        ]
    bad: dict[int, str] = {}
    made: list[Column] = []
    start = 0
    for part, there, is_good in zip(parts, same, good, strict=True):
        if is_good and there is not None:
            made.append(_cast(there, dtype))
        else:
            why = f"has rows of {_form(part)} here, expected {_form(like)} as in other rows"
            bad |= dict.fromkeys(range(start, start + len(part)), why)
            made.append(_cast(columns.take(like, np.zeros(len(part), np.int64)), dtype))
        start += len(part)
    return columns.concatenate(made), bad


def _arrays(column: Column) -> Sequence[Array]:
    return column.rows if isinstance(column, Ragged) else [column]


def _dtype(column: Column) -> np.dtype[Any]:
    dtype: np.dtype[Any] = _arrays(column)[0].dtype
    return dtype


def _rank(column: Column) -> int:
    return column.rows[0].ndim if isinstance(column, Ragged) else column.ndim - 1


def _size(column: Column) -> int:
    return sum(array.size for array in _arrays(column))


def _dtype_of(parts: Sequence[Column]) -> np.dtype[Any] | None:
    return common_dtype([array for part in parts for array in _arrays(part)])


def _of_rank(part: Column, like: Column) -> Column | None:
    """The part with the rank of `like`; None if its rank differs and it has elements."""
    if _rank(part) == _rank(like):
        return part
    if _size(part) or not _rank(like):
        return None
    empty = np.empty((0, *next(iter(columns.iterate(like))).shape[1:]), _dtype(like))
    return Ragged([empty] * len(part))


def _cast(column: Column, dtype: np.dtype[Any]) -> Column:
    if isinstance(column, Ragged):
        return Ragged(row.astype(dtype, copy=False) for row in column.rows)
    return column.astype(dtype, copy=False)


def _form(column: Column) -> str:
    return f"rank {_rank(column)} and {_dtype(column)}"
