"""Functions over all values, or all rows, of a column, be it dense or ragged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.core import columns
from pipeline.core.columns import Array, Column, Ragged
from pipeline.errors import RowsError

Bad = Mapping[int, str]
"""Position of a value that cannot be used -> what was found and what was expected."""


def each_value(column: Column, compute: Callable[[Array], tuple[Array, Bad]]) -> Column:
    """Calls `compute` once with all values of a column.

    Args:
      column: of any shape.
      compute: values of shape ``(n,)`` -> results of shape ``(n, ...)``, and the bad ones.

    Returns:
      a column whose rows have the shape of those of `column`, followed by that of a result.

    Raises:
      RowsError: rows with bad values; the message is of the first in each.
    """
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


def each_row(column: Column, compute: Callable[[Array], Array]) -> Column:
    """Calls `compute` with dense columns, which it must compute row by row.

    Returns:
      its results with the rows of `column`; dense where they agree in shape.
    """
    if not isinstance(column, Ragged):
        return compute(column)
    return columns.from_rows([compute(row[np.newaxis])[0] for row in column.rows])
