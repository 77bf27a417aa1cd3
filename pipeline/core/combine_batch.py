"""The combine steps over a batch, with the rows that they cannot compute set aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core import bisection, columns, combine
from pipeline.core.batch import Batch
from pipeline.core.columns import Array, Column
from pipeline.core.combine_spec import CombineStep
from pipeline.errors import RowsError


def combine_batch(batch: Batch, steps: Sequence[CombineStep]) -> Batch:
    """The batch with the columns of all `steps`, which run in the given order.

    Rows that a step cannot compute (a position without label, rows whose lengths disagree) become
    rejects with stage "combine".
    """
    for step in steps:
        batch = _combine(batch, step)
    return batch


def _combine(batch: Batch, step: CombineStep) -> Batch:
    if not len(batch):
        return batch
    try:
        return batch.with_columns(combine.apply(step, batch.columns))
    except RowsError as error:
        reasons = {row: ("combine_error", message) for row, message in error.messages.items()}
        return _combine(batch.reject(reasons, stage="combine"), step)
    except ValueError:
        return _row_by_row(batch, step)


def _row_by_row(batch: Batch, step: CombineStep) -> Batch:
    """For what the rehearsal could not foresee: rows of different shape that do not go together."""

    def call(rows: Array) -> dict[str, Column]:
        taken = {name: columns.take(batch.columns[name], rows) for name in step.columns_read()}
        return combine.apply(step, taken)

    outcome = bisection.run(call, np.arange(len(batch)))
    reasons = {row: ("combine_error", str(error)) for row, error in outcome.errors.items()}
    batch = batch.reject(reasons, stage="combine")
    if not outcome.results:
        return batch
    return batch.with_columns(
        {
            name: columns.concatenate([result[name] for _, result in outcome.results])
            for name in step.columns_written()
        }
    )
