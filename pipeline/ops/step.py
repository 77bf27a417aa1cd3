"""One step of the ensemble file over columns: what its operation computes, and what it refuses.

Results that are not finite stay: the last step rejects rows that no sink can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.batch.columns import Array, Column, Ragged, apply_by_shape, group_by_shape
from pipeline.batch.tensors import describe, dtype_name
from pipeline.errors import RowsError, SpecError
from pipeline.ops.registry import OPERATIONS
from pipeline.spec.column_types import Type, TypesError
from pipeline.spec.combine import CombineStep
from pipeline.spec.prepare import PrepareStep

__all__ = ["Step", "apply", "check_ready"]

Step = PrepareStep | CombineStep


def apply(step: Step, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Computes one step.

    Args:
      step: what to compute, as `check_ready` lets it pass.
      columns: at least those that the step reads, all with the same number of rows, of the types
        that were checked where those are known before any record. A prepare step needs one row.

    Returns:
      the columns that the step produces, with as many rows.

    Raises:
      ValueError: under these dtypes and shapes no row can be computed; names the columns.
      RowsError: some rows cannot be computed; the reason of each.
    """
    read = {name: columns[name] for name in step.columns_read()}
    compute = _compute_by_shape if OPERATIONS[type(step)].by_shape else _compute
    try:
        # Overflow and undefined values show in the result; a warning a batch says nothing more.
        with np.errstate(all="ignore"):
            return compute(step, read)
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


def _compute(step: Step, read: Mapping[str, Column]) -> dict[str, Column]:
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
    types = [_type_of(name, read[name]) for name in step.columns_read()]
    try:
        step.types(*types)
    except TypesError as refusal:
        found = _listed(step.columns_read(), types, refusal.positions)
        raise ValueError(f"{step.op} {refusal}, found {found}") from None
    return _compute(step, read)


def _type_of(name: str, column: Array) -> Type:
    try:
        return dtype_name(column), column.shape[1:]
    except TypeError as error:
        raise ValueError(f"'{name}' {error}") from None


def _listed(names: Sequence[str], types: Sequence[Type], positions: Sequence[int]) -> str:
    shown = {names[i]: describe(*types[i]) for i in positions or range(len(names))}
    *others, last = (f"'{name}' {described}" for name, described in shown.items())
    return f"{', '.join(others)} and {last}" if others else last
