"""Columns: one array for a whole batch, and the ragged kind for rows of different shape.

A column is an ndarray whose first axis is the row, or a :class:`Ragged` when rows differ in
length. Where rows may lack a value it is a :class:`Masked`, around one of these. Functions here are
pure: they never change a column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, cast, overload

import numpy as np

from pipeline.batch import sparse
from pipeline.batch.sparse import Sparse
from pipeline.errors import RowsError

Array = np.ndarray[Any, Any]


class Ragged:
    """A column of rows with the same dtype and rank but different lengths.

    Attributes:
      rows: one array for each row, without batch axis.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Iterable[Array]) -> None:
        self.rows: tuple[Array, ...] = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes held by the rows' arrays."""
        return sum(row.nbytes for row in self.rows)


Column = Array | Ragged
"""A column in which every row has a value."""


class Masked:
    """A column in which rows may lack a value.

    Attributes:
      values: of all rows. A row without a value holds a placeholder (zeros, empty text), which
        stands for nothing.
      present: bool, one for each row: whether it has a value.
    """

    __slots__ = ("present", "values")

    def __init__(self, values: Column, present: Array) -> None:
        self.values = values
        self.present = present

    def __len__(self) -> int:
        return len(self.present)

    @property
    def nbytes(self) -> int:
        """Bytes held by values and mask."""
        return self.values.nbytes + self.present.nbytes


BatchColumn = Column | Masked
"""What a batch holds."""


def values_of(column: BatchColumn) -> Column:
    """The values; of rows without one, the placeholders."""
    return column.values if isinstance(column, Masked) else column


def presence_of(column: BatchColumn) -> Array:
    """Whether each row has a value: bool, one for each row."""
    return column.present if isinstance(column, Masked) else np.ones(len(column), dtype=bool)


def spread(values: BatchColumn, present: Array) -> Masked:
    """A column of which only some rows have a value.

    Args:
      values: those of the rows that may have one, in order: at least one.
      present: for each row of the column, whether it may have one.
    """
    if isinstance(values, Masked):
        inner = spread(values.values, present)
        has_one = present.copy()
        has_one[present] = values.present
        return Masked(inner.values, has_one)
    if present.all():
        return Masked(values, present)
    if isinstance(values, Ragged):
        nothing, there = values.rows[0][:0], iter(values.rows)
        return Masked(Ragged(next(there) if has else nothing for has in present), present)
    made = np.zeros((len(present), *values.shape[1:]), values.dtype)
    if values.dtype.kind == "O":
        made[...] = type(values.flat[0])() if values.size else ""
    made[present] = values
    return Masked(made, present)


def masked_like(column: BatchColumn, values: Column) -> BatchColumn:
    """Other values for the same rows: masked, with all of them present, if `column` is masked."""
    if not isinstance(column, Masked):
        return values
    return Masked(values, np.ones(len(values), dtype=bool))


def as_column(rows: Sparse) -> Array:
    """Sparse rows as a column: where they are handed on, they stand in for an array."""
    return cast(Array, rows)


def from_rows(rows: Sequence[Array]) -> Column:
    """A column of `rows`: dense if all have one shape, otherwise ragged."""
    if rows and all(row.shape == rows[0].shape for row in rows):
        return np.stack(rows)
    return Ragged(rows)


def ragged_from_rows(rows: Sequence[Array]) -> Column:
    """A column of rows that may differ in length: ragged, unless each is a single value."""
    return from_rows(rows) if all(row.ndim == 0 for row in rows) else Ragged(rows)


def ragged_from_flat(flat: Array, shapes: Sequence[tuple[int, ...]]) -> Column:
    """The same as `ragged_from_rows`, from the concatenated values of all rows."""
    ends = np.cumsum([prod(shape) for shape in shapes])
    parts = np.split(flat, ends[:-1]) if len(shapes) else []
    return ragged_from_rows(
        [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    )


def as_ragged(column: Column) -> Ragged:
    """The column as a ragged one, even if its rows agree in shape."""
    return column if isinstance(column, Ragged) else Ragged(iterate(column))


def part(column: Column, start: int, stop: int) -> Column:
    """The rows from `start` to `stop`; ragged if `column` is."""
    if isinstance(column, Ragged):
        return Ragged(column.rows[start:stop])
    return column[start:stop]


@overload
def take(column: Column, rows: Array) -> Column: ...
@overload
def take(column: BatchColumn, rows: Array) -> BatchColumn: ...
def take(column: BatchColumn, rows: Array) -> BatchColumn:
    """The given rows (integer indices), in that order; dense if they agree in shape."""
    if isinstance(column, Masked):
        return Masked(take(column.values, rows), column.present[rows])
    if isinstance(column, Ragged):
        return from_rows([column.rows[i] for i in rows])
    return column[rows]


@overload
def concatenate(parts: Sequence[Column]) -> Column: ...
@overload
def concatenate(parts: Sequence[BatchColumn]) -> BatchColumn: ...
def concatenate(parts: Sequence[BatchColumn]) -> BatchColumn:
    """The rows of all `parts`, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(part, Masked) for part in parts):
        values = concatenate([values_of(part) for part in parts])
        return Masked(values, np.concatenate([presence_of(part) for part in parts]))
    rows_of_zeros: list[Any] = [part for part in parts if isinstance(part, Sparse)]
    if len(rows_of_zeros) == len(parts):
        return as_column(sparse.stack(rows_of_zeros))
    dense = [part for part in parts if isinstance(part, np.ndarray)]
    if len(dense) == len(parts) and len({part.shape[1:] for part in dense}) == 1:
        return np.concatenate(dense)
    return from_rows([row for part in parts for row in iterate(values_of(part))])


def concatenate_ragged(parts: Sequence[Column]) -> Column:
    """The same as `concatenate`, but ragged if a part is, even if all rows agree in shape."""
    made = concatenate(parts)
    return as_ragged(made) if any(isinstance(part, Ragged) for part in parts) else made


def iterate(column: Column) -> Iterable[Array]:
    """The rows of a column as arrays; a scalar row is a 0-d array."""
    if isinstance(column, Ragged):
        return column.rows
    return (np.asarray(row, dtype=column.dtype) for row in column)


def read_only(array: Array) -> Array:
    """A view of the array that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def pad(column: Ragged, value: Any) -> Array:
    """A dense column: every row filled with `value` at its end up to the longest row.

    Returns:
      array of shape ``(rows, *longest)``, dtype of the rows.
    """
    rank = column.rows[0].ndim
    longest = tuple(max(row.shape[axis] for row in column.rows) for axis in range(rank))
    padded = np.full((len(column), *longest), value, dtype=column.rows[0].dtype)
    for i, row in enumerate(column.rows):
        padded[i][tuple(slice(0, n) for n in row.shape)] = row
    return padded


def repeat_last(array: Array, rows: int) -> Array:
    """The array with at least `rows` rows: its last row fills the missing ones."""
    lacking = rows - len(array)
    return array if lacking <= 0 else np.concatenate([array, array[-1:].repeat(lacking, axis=0)])


def group_by_shape(columns: Sequence[Column]) -> list[Array]:
    """Row indices, one group for each combination of row shapes; first seen first."""
    ragged = [column for column in columns if isinstance(column, Ragged)]
    if not ragged:
        return [np.arange(len(columns[0]))]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i in range(len(ragged[0])):
        groups.setdefault(tuple(column.rows[i].shape for column in ragged), []).append(i)
    return [np.array(rows) for rows in groups.values()]


def apply_by_shape(
    function: Callable[[Mapping[str, Array]], Mapping[str, Column]],
    columns: Mapping[str, Column],
    join: Callable[[Sequence[Column]], Column] = concatenate,
) -> dict[str, Column]:
    """Calls `function` with dense columns only, once for each group of rows of one shape.

    Args:
      function: columns -> columns; its results have the rows of its arguments, in order.
      columns: at least one, all with the same number of rows; at least one row if any is ragged,
        because without rows there is no shape to call `function` with.
      join: joins the results of several groups into one column.

    Returns:
      the results, with the rows in their original order.

    Raises:
      RowsError: `function` raised it for some groups; names the failed rows of all groups by their
        positions in `columns`.
    """
    if not any(isinstance(column, Ragged) for column in columns.values()):
        return dict(function(columns))  # type: ignore[arg-type]  # all dense, just checked
    groups = group_by_shape(list(columns.values()))
    results = []
    failed: dict[int, str] = {}
    for rows in groups:
        dense = {name: take(column, rows) for name, column in columns.items()}
        try:
            results.append(function(dense))  # type: ignore[arg-type]  # one shape, so dense
        except RowsError as error:
            failed |= {int(rows[i]): message for i, message in error.messages.items()}
    if failed:
        raise RowsError(dict(sorted(failed.items())))
    order = np.argsort(np.concatenate(groups), kind="stable")
    return {name: take(join([result[name] for result in results]), order) for name in results[0]}
