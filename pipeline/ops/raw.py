"""Bytes as tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.batch.columns import Array, Column, Ragged
from pipeline.batch.tensors import describe
from pipeline.errors import RowsError
from pipeline.spec.prepare import DecodeRaw


def decode(step: DecodeRaw, column: Column) -> Column:
    """Tensors in bytes -> the column of them, in the byte order of the machine.

    Rows of one length are read at once.

    Args:
      step: dtype, shape and byte order.
      column: shape ``(rows,)``, bytes.

    Returns:
      ``(rows, *shape)``; ragged where an axis varies and rows differ in it.

    Raises:
      RowsError: rows with another number of bytes, or values that a field could not have.
    """
    # A row at a time would be an array each.
    values = [r.item() for r in column.rows] if isinstance(column, Ragged) else column.tolist()
    stored = np.dtype(step.dtype).newbyteorder(">" if step.byte_order == "big" else "<")
    sizes = [len(value) for value in values]
    _check_sizes(step, sizes, stored.itemsize)
    # As bytes, since another byte would make a boolean that is neither.
    flat = np.frombuffer(b"".join(values), np.uint8 if step.dtype == "bool" else stored)
    ends = np.cumsum(sizes) // stored.itemsize
    _check_values(step, flat, ends)
    native = flat.astype(step.dtype, copy=False)
    if len(set(sizes)) == 1:
        return native.reshape(len(values), *_shape(step, int(ends[0])))
    parts = np.split(native, ends[:-1])
    return Ragged(part.reshape(_shape(step, part.size)) for part in parts)


def _shape(step: DecodeRaw, count: int) -> tuple[int, ...]:
    known = math.prod(n for n in step.shape if n is not None)
    return tuple(count // known if n is None else n for n in step.shape)


def _check_sizes(step: DecodeRaw, sizes: Sequence[int], itemsize: int) -> None:
    known = math.prod(n for n in step.shape if n is not None) * itemsize
    if None in step.shape:
        bad = [row for row, size in enumerate(sizes) if size % known]
        expected = f"a multiple of {known}"
    else:
        bad = [row for row, size in enumerate(sizes) if size != known]
        expected = str(known)
    if bad:
        described = describe(step.dtype, step.shape)
        raise RowsError(
            {row: f"found {sizes[row]} bytes, expected {expected} for {described}" for row in bad}
        )


def _check_values(step: DecodeRaw, flat: Array, ends: Array) -> None:
    """Refuses rows by the values in them.

    Args:
      step: the dtype.
      flat: the values of all rows; booleans as uint8.
      ends: for each row, the position behind its last value.
    """
    fits = flat <= 1 if step.dtype == "bool" else np.isfinite(flat)
    if fits.all():
        return
    wrong = np.flatnonzero(~fits)[::-1]  # so that of each row the first is told
    rows = np.searchsorted(ends, wrong, side="right")
    starts = np.concatenate([[0], ends])
    raise RowsError(
        {
            int(row): f"found {flat[at].item()} at value {at - starts[row]}, expected {step.dtype}"
            for at, row in zip(wrong.tolist(), rows.tolist(), strict=True)
        }
    )
