"""Columns joined to one, and rows brought to one length."""

from __future__ import annotations

import numpy as np

from pipeline.batch import casts
from pipeline.batch.columns import Array, Column, Ragged
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
