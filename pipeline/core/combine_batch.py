"""The combine steps over a batch, with the rows that they cannot compute set aside."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core import combine
from pipeline.core.batch import Batch
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
    except ValueError as error:
        # What the rehearsal could not foresee: lengths that vary and here do not go together.
        return batch.reject(
            dict.fromkeys(range(len(batch)), ("combine_error", str(error))), stage="combine"
        )
