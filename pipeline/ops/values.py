"""What operations share: values that cannot be used, calls over ragged columns, wider dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.batch import columns
from pipeline.batch.categorical import Categorical, categorical
from pipeline.batch.columns import Array, Column, Ragged
from pipeline.errors import RowsError
from pipeline.spec.column_types import floating, widened

Bad = Mapping[int, str]
"""Position of a value that cannot be used -> what was found and what was expected."""


def each_value(column: Column, compute: Callable[[Array], tuple[Array, Bad]]) -> Column:
    """Calls `compute` once with all values of a column.

    Args:
      column: of any shape.
      compute: values of shape ``(n,)`` -> results of shape ``(n, ...)``, and the bad ones. Of
        categories it gets each once.

    Returns:
      a column whose rows have the shape of those of `column`, followed by that of a result.

    Raises:
      RowsError: rows with bad values; the message is of the first in each.
    """
    if isinstance(column, Categorical) and column.coding is not None:
        return _each_category(*column.coding, compute)
    if isinstance(column, Ragged):
        flat = np.concatenate([row.ravel() for row in column.rows])
        sizes = [row.size for row in column.rows]
    else:
        flat = column.reshape(-1)
        sizes = [math.prod(column.shape[1:])] * len(column)
    values, bad = compute(flat)
    ends = np.cumsum(sizes)
    if bad:
        raise RowsError(
            {
                int(np.searchsorted(ends, position, side="right")): bad[position]
                for position in sorted(bad, reverse=True)
            }
        )
    if not isinstance(column, Ragged):
        return values.reshape(*column.shape, *values.shape[1:])
    parts = np.split(values, ends[:-1])
    return columns.from_rows(
        [
            part.reshape(*row.shape, *values.shape[1:])
            for part, row in zip(parts, column.rows, strict=True)
        ]
    )


def _each_category(
    categories: Array, codes: Array, compute: Callable[[Array], tuple[Array, Bad]]
) -> Column:
    values, bad = compute(categories)
    rows = np.flatnonzero(np.isin(codes, list(bad))) if bad else ()
    if len(rows):
        raise RowsError({int(row): bad[int(codes[row])] for row in rows})
    if values.dtype == object and values.ndim == 1:
        return categorical(values, codes)
    return np.take(values, codes, axis=0)


def each_row(column: Column, compute: Callable[[Array], Array]) -> Column:
    """Calls `compute` with dense columns, which it must compute row by row.

    Returns:
      its results with the rows of `column`; dense where they agree in shape.
    """
    if not isinstance(column, Ragged):
        return compute(column)
    return columns.from_rows([compute(row[np.newaxis])[0] for row in column.rows])


def bad_values(bad: Array, values: Array, expected: str) -> Bad:
    """The values, of shape ``(n,)``, at which `bad` is true, and what was expected."""
    positions = np.flatnonzero(bad)
    found = values[positions].tolist()  # as Python's own: numpy shows np.int64(3)
    return {
        int(i): f"found {value!r}, {expected}" for i, value in zip(positions, found, strict=True)
    }


def is_nan(values: Array) -> Array:
    """Which values are missing inside a vector; none where they are no floats."""
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)


def reject_rows(bad: Array, message: Callable[[int], str]) -> None:
    """Raises RowsError for the rows in which any element of `bad` is true."""
    rows = np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim))))
    if rows.size:
        raise RowsError({int(row): message(int(row)) for row in rows})


def as_floating(values: Array) -> Array:
    """float64 stays, float32 and float16 become float32, all else float64."""
    return values.astype(floating(values.dtype.name), copy=False)


def as_widened(values: Array) -> Array:
    """The dtype in which values add up: 64 bits for integers, at least 32 for floats."""
    return values.astype(widened(values.dtype.name), copy=False)
