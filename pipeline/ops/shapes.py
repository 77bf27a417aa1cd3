"""Columns joined to one, and rows brought to one length."""

from __future__ import annotations

import numpy as np

from pipeline.batch import casts
from pipeline.batch.columns import Array, BatchColumn, Column, Ragged, presence_of, values_of
from pipeline.errors import RowsError
from pipeline.spec import combine, prepare


def concat(step: prepare.Concat | combine.Concat, *columns: Array) -> Array:
    """Joins along the last axis: ``(rows, ..., n_i)`` -> ``(rows, ..., sum of n_i)``.

    A column of shape ``(rows,)`` counts as ``(rows, 1)``. Dtype: the one that holds all, or text.

    Raises:
      RowsError: rows with an integer that the floats beside it cannot hold.
    """
    casts.check_join(dict(zip(step.of, columns, strict=True)))
    wide = [column[:, np.newaxis] if column.ndim == 1 else column for column in columns]
    return np.concatenate(wide, axis=-1)


def concat_with_gaps(step: prepare.Concat | combine.Concat, *columns: BatchColumn) -> Array:
    """The same for columns of which rows may lack some: the missing values are NaN.

    Raises:
      RowsError: see `concat`; rows that lack one, where the joined values are no floats.
    """
    parts = [values for column in columns if isinstance(values := values_of(column), np.ndarray)]
    joined = concat(step, *parts)
    missing = [~presence_of(column) for column in columns]
    lacking = np.any(missing, axis=0)
    if not lacking.any():
        return joined
    if joined.dtype.kind != "f":
        message = f"found no value, for which {joined.dtype} has none; `op: fill` puts one there"
        raise RowsError(dict.fromkeys(np.flatnonzero(lacking).tolist(), message))
    end = 0
    for part, rows in zip(parts, missing, strict=True):
        start, end = end, end + (part.shape[-1] if part.ndim > 1 else 1)
        joined[rows, ..., start:end] = np.nan
    return joined


def pad(step: prepare.Pad, column: Column) -> Array:
    """``(rows, any, ...)`` -> ``(rows, length, ...)``, same dtype; filled, or cut, at the end.

    Raises:
      RowsError: rows that are longer, when they are not to be cut.
    """
    lengths = (
        [len(row) for row in column.rows]
        if isinstance(column, Ragged)
        else [column.shape[1]] * len(column)
    )
    if not step.truncate and max(lengths) > step.length:
        raise RowsError(
            {
                row: f"found {length} values, expected at most {step.length}"
                for row, length in enumerate(lengths)
                if length > step.length
            }
        )
    like = column.rows[0] if isinstance(column, Ragged) else column[0]
    filling = ("" if like.dtype.kind == "O" else 0) if step.value is None else step.value
    padded = np.full((len(column), step.length, *like.shape[1:]), filling, dtype=like.dtype)
    if isinstance(column, Ragged):
        for i, row in enumerate(column.rows):
            padded[i, : len(row)] = row[: step.length]
    else:
        padded[:, : column.shape[1]] = column[:, : step.length]
    return padded
