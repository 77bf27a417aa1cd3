"""The numbers that a dtype cannot hold, so that a cast would change their value.

An integer must stay the same: 16777217 becomes 16777216 as float32, another number. A float that
becomes another float may be rounded, as in every computation, but a finite one must not become
infinite. A float that becomes an integer must be whole; a number that becomes a boolean must be 0
or 1.

Nearly all columns hold no such number; for those, comparing their least and greatest value is
enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.batch.columns import Array, Column, Ragged
from pipeline.batch.tensors import numpy_dtype
from pipeline.errors import RowsError


def lost(values: Array, dtype: str) -> Array | None:
    """The numbers or booleans that a dtype cannot hold.

    Args:
      values: an array of any shape.
      dtype: a dtype name that is neither "string" nor "bytes".

    Returns:
      booleans of the shape of `values`; None if it holds them all.
    """
    wanted, kind = numpy_dtype(dtype), values.dtype.kind
    if not values.size or _holds_all(wanted, values.dtype):
        return None
    if wanted.kind == "b":
        bad = (values != 0) & (values != 1)
    elif wanted.kind == "f":
        limit = _float_limit(kind, wanted)
        if _within(values, -limit, limit):
            return None
        bad = changed(values, wanted) if kind in "iu" else overflowing(values, wanted)
    else:
        bounds = np.iinfo(wanted)
        low, high = int(bounds.min), int(bounds.max)
        if kind in "iu":
            if _within(values, low, high):
                return None
            bad = (values < low) | (values > high)
        else:
            bad = _no_integer(values, low, high)
    return np.asarray(bad) if bad.any() else None


def lost_rows(column: Column, dtype: str) -> dict[int, Any]:
    """Row -> the first of its numbers that a dtype cannot hold, for the rows that have one.

    Args:
      column: numbers or booleans.
      dtype: see `lost`.
    """
    wanted = numpy_dtype(dtype)
    dtypes = {row.dtype for row in column.rows} if isinstance(column, Ragged) else {column.dtype}
    if all(_holds_all(wanted, have) for have in dtypes):
        return {}
    if isinstance(column, Ragged):
        values = np.concatenate([row.ravel() for row in column.rows])
    else:
        values = column.reshape(-1)
    bad = lost(values, dtype)
    if bad is None:
        return {}
    if isinstance(column, Ragged):
        ends = np.cumsum([row.size for row in column.rows])
    else:
        ends = np.arange(1, len(column) + 1) * (column.size // len(column))
    found: dict[int, Any] = {}
    for position in np.flatnonzero(bad):
        row = int(np.searchsorted(ends, position, side="right"))
        found.setdefault(row, values[position].item())
    return found


def check_join(parts: Mapping[str, Array]) -> None:
    """Makes sure that columns can be joined in the dtype that numpy chooses for them.

    Args:
      parts: name -> column; either all numbers and booleans, or all text.

    Raises:
      RowsError: rows with an integer that this dtype, a float, cannot hold.
    """
    common = np.result_type(*(part.dtype for part in parts.values()))
    if common.kind != "f":
        return
    messages: dict[int, str] = {}
    inexact = {d for d in {part.dtype for part in parts.values()} if not _holds_all(common, d)}
    for name, part in parts.items():
        if part.dtype not in inexact:
            continue
        for row, value in lost_rows(part, common.name).items():
            messages.setdefault(row, f"found {value} in '{name}', which {common} cannot hold")
    if messages:
        raise RowsError(messages)


def _holds_all(wanted: np.dtype[Any], have: np.dtype[Any]) -> bool:
    if wanted.kind == "f" and have.kind in "iu" and have.itemsize == 8:
        return False  # numpy says that float64 holds these integers, too
    return bool(np.can_cast(have, wanted, "safe"))


def _float_limit(kind: str, wanted: np.dtype[Any]) -> float:
    """The bound, positive and negative, up to which a float dtype holds every integer or float.

    For integers it is an int: numpy would compare a float with them as floats.
    """
    info = np.finfo(wanted)
    return 2 ** (info.nmant + 1) if kind in "iu" else float(info.max)


def _within(values: Array, low: float, high: float) -> bool:
    """Whether all are between two bounds. Ignores NaN, which every float dtype holds."""
    least, greatest = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    return not (least < low or greatest > high)


def overflowing(values: Array, wanted: np.dtype[Any]) -> Array:
    """Which finite values become infinite, as a mask."""
    with np.errstate(over="ignore"):
        return np.asarray(np.isinf(values.astype(wanted)) & np.isfinite(values))


def changed(values: Array, wanted: np.dtype[Any]) -> Array:
    """The integers that the cast changes."""
    with np.errstate(over="ignore", invalid="ignore"):
        wide = values.astype(wanted).astype(np.float64)
        # 2**63 and 2**64 are floats but not int64 or uint64: casting them back is undefined.
        unsigned = values.dtype.kind == "u"
        inside = np.isfinite(wide) & (wide < 2.0 ** (64 if unsigned else 63))
        back = np.where(inside, wide, 0).astype(np.uint64 if unsigned else np.int64)
        return np.asarray(~inside | (back != values))


def _no_integer(values: Array, low: int, high: int) -> Array:
    wide = values.astype(np.float64)
    # The power of two after the highest integer is exact as a float; the highest may not be.
    inside = (wide >= float(low)) & (wide < float(high + 1))
    return np.asarray(~inside | (wide != np.trunc(wide)))
