"""One step of the ensemble file over columns: what its operation computes, and what it refuses.

Results that are not finite stay: the last step rejects rows that no sink can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.batch import columns as batch_columns
from pipeline.batch.columns import (
    Array,
    BatchColumn,
    Column,
    Masked,
    Ragged,
    apply_by_shape,
    as_ragged,
    group_by_shape,
    presence_of,
    values_of,
)
from pipeline.batch.tensors import Shape, describe, dtype_name, placeholders
from pipeline.errors import RowsError, SpecError
from pipeline.ops.registry import OPERATIONS
from pipeline.spec.column_types import Type, TypesError
from pipeline.spec.combine import CombineStep
from pipeline.spec.prepare import PrepareStep

__all__ = ["Step", "apply", "check_ready"]

Step = PrepareStep | CombineStep


def apply(step: Step, columns: Mapping[str, BatchColumn]) -> dict[str, BatchColumn]:
    """Computes one step.

    Args:
      step: what to compute, as `check_ready` lets it pass.
      columns: at least those that the step reads, all with the same number of rows, of the types
        that were checked where those are known before any record. A prepare step needs one row.

    Returns:
      the columns that the step produces, with as many rows; masked where a column that is read is,
      unless the step tells what stands for a missing value.

    Raises:
      ValueError: under these dtypes and shapes no row can be computed; names the columns.
      RowsError: some rows cannot be computed; the reason of each.
    """
    read = {name: columns[name] for name in step.columns_read()}
    try:
        # Overflow and undefined values show in the result; a warning a batch says nothing more.
        with np.errstate(all="ignore"):
            if any(isinstance(column, Masked) for column in read.values()):
                return _compute_masked(step, read)
            return _compute_complete(step, read)  # type: ignore[arg-type]  # just checked
    except RowsError as error:
        where = _where(step)
        messages = {row: f"{where}: {message}" for row, message in error.messages.items()}
        raise RowsError(messages) from error
    except ValueError as error:
        raise ValueError(f"{_where(step)}: {error}") from error


def check_ready(step: Step) -> None:
    """Makes sure that a step can run in this process.

    Raises:
      SpecError: a package is not installed, or its file cannot be read or was not read.
    """
    try:
        OPERATIONS[type(step)].check_ready(step)
    except ValueError as problem:
        raise SpecError(f"{step.title} ({step.op}) {problem}") from problem


def _where(step: Step) -> str:
    if step.stage == "combine":
        return f"combine column '{step.column}'"
    return f"{step.title} ({step.op} of '{', '.join(step.columns_read())}')"


def _compute_complete(step: Step, read: Mapping[str, Column]) -> dict[str, BatchColumn]:
    if OPERATIONS[type(step)].by_shape:
        return {**_compute_by_shape(step, read)}
    return _compute(step, read)


def _compute_masked(step: Step, read: Mapping[str, BatchColumn]) -> dict[str, BatchColumn]:
    """Computes the rows that lack no column that is read; the others lack the results."""
    values = {name: values_of(column) for name, column in read.items()}
    compute = OPERATIONS[type(step)].compute_masked
    if compute is not None and not any(isinstance(column, Ragged) for column in values.values()):
        _check_types(step, values)
        return {step.column: compute(step, *(read[name] for name in step.columns_read()))}
    present = np.logical_and.reduce([presence_of(column) for column in read.values()])
    rows = np.flatnonzero(present)
    if not len(rows):
        return {
            name: _nothing(dtype, shape, len(present))
            for name, (dtype, shape) in _announced(step, values).items()
        }
    try:
        made = _compute_complete(
            step, {name: batch_columns.take(column, rows) for name, column in values.items()}
        )
    except RowsError as error:
        messages = {int(rows[row]): message for row, message in error.messages.items()}
        raise RowsError(messages) from error
    return {name: batch_columns.spread(column, present) for name, column in made.items()}


def _announced(step: Step, values: Mapping[str, Column]) -> Mapping[str, Type]:
    """The types that a step makes of columns in which no row has a value.

    Raises:
      ValueError: it cannot read such columns.
    """
    try:
        return _check_types(step, values)
    except ValueError:  # rows of variable length, none of which has any, look like one length
        return _check_types(step, {name: as_ragged(column) for name, column in values.items()})


def _nothing(dtype: str, shape: Shape, rows: int) -> Masked:
    """A column of which all rows lack their value."""
    nothing = placeholders(dtype, shape, rows)
    return Masked(Ragged(nothing) if None in shape else nothing, np.zeros(rows, dtype=bool))


def _compute(step: Step, read: Mapping[str, Column]) -> dict[str, BatchColumn]:
    made = OPERATIONS[type(step)].compute(step, *(read[name] for name in step.columns_read()))
    listed = made if isinstance(made, tuple) else (made,)
    return dict(zip(step.columns_written(), listed, strict=True))


def _compute_by_shape(step: Step, read: Mapping[str, Column]) -> dict[str, Column]:
    """Computes rows of one shape together; a shape that is refused costs its own rows only."""
    dense = {name: column for name, column in read.items() if not isinstance(column, Ragged)}
    if len(dense) == len(read):
        return _compute_checked(step, dense)
    if not all(len(column) for column in read.values()):
        return {name: Ragged(()) for name in step.columns_written()}
    refusals: list[ValueError] = []

    def compute_group(group: Mapping[str, Array]) -> dict[str, Column]:
        try:
            return _compute_checked(step, group)
        except ValueError as refusal:
            refusals.append(refusal)
            rows = len(next(iter(group.values())))
            raise RowsError(dict.fromkeys(range(rows), str(refusal))) from refusal

    try:
        return apply_by_shape(compute_group, read)
    except RowsError:
        if len(refusals) == len(group_by_shape(list(read.values()))):
            raise refusals[0] from None
        raise


def _compute_checked(step: Step, read: Mapping[str, Array]) -> dict[str, Column]:
    _check_types(step, read)
    return {name: values_of(column) for name, column in _compute(step, read).items()}


def _check_types(step: Step, read: Mapping[str, Column]) -> Mapping[str, Type]:
    """The types of the columns that the step makes.

    Raises:
      ValueError: it cannot read such columns.
    """
    types = [_type_of(name, read[name]) for name in step.columns_read()]
    try:
        return step.types(*types)
    except TypesError as refusal:
        found = _listed(step.columns_read(), types, refusal.positions)
        raise ValueError(f"{step.op} {refusal}, found {found}") from None


def _type_of(name: str, column: Column) -> Type:
    if isinstance(column, Ragged):
        dtype, _ = _type_of(name, column.rows[0])
        return dtype, (None, *column.rows[0].shape[1:])
    try:
        return dtype_name(column), column.shape[1:]
    except TypeError as error:
        raise ValueError(f"'{name}' {error}") from None


def _listed(names: Sequence[str], types: Sequence[Type], positions: Sequence[int]) -> str:
    shown = {names[i]: describe(*types[i]) for i in positions or range(len(names))}
    *others, last = (f"'{name}' {described}" for name, described in shown.items())
    return f"{', '.join(others)} and {last}" if others else last
