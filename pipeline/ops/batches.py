"""Steps over a batch, with the rows that they cannot compute set aside.

Prepare steps run over a few rows at a time where they decode images: a decoded photograph is large,
and needed only until it is resized. So whole chains of steps run over few rows, what nobody reads
later is dropped, and a batch that grows large all the same goes on in parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.batch import columns
from pipeline.batch.batch import Batch
from pipeline.batch.columns import BatchColumn
from pipeline.errors import RowsError
from pipeline.ops.registry import OPERATIONS
from pipeline.ops.step import Step, apply
from pipeline.spec.combine import CombineStep
from pipeline.spec.prepare import PrepareStep

_MAX_PART_BYTES = 64 << 20

Reasons = dict[int, tuple[str, str]]
"""Row -> (error_type, error_message), as `Batch.reject` has them."""


def prepare_batch(
    batch: Batch,
    steps: Sequence[PrepareStep],
    keep: Collection[str],
    max_part_bytes: int = _MAX_PART_BYTES,
) -> Iterator[Batch]:
    """The batch with the columns of all `steps`, which run in the given order.

    Rows that a step cannot compute become rejects with stage "prepare"; they cost no other row.

    Args:
      batch: as decoded.
      steps: what `check_ready` lets pass.
      keep: the columns that are read later; no other is kept.
      max_part_bytes: a part is closed when its columns reach this size.

    Yields:
      parts whose rows and rejects, one part after the other, are those of the batch.
    """
    if not len(batch):
        yield batch
        return
    limits = [OPERATIONS[type(step)].rows_at_once or len(batch) for step in steps]
    at_once = min(limits, default=len(batch))
    part = _Part(batch, keep, first=0)
    for start in range(0, len(batch), at_once):
        part.add(steps, min(start + at_once, len(batch)))
        if part.nbytes >= max_part_bytes and part.end < len(batch):
            yield part.batch()
            part = _Part(batch, keep, first=part.end)
    yield part.batch()


def combine_batch(batch: Batch, steps: Sequence[CombineStep]) -> Batch:
    """The batch with the columns of all `steps`, which run in the given order.

    Rows that a step cannot compute (a position without label, rows whose lengths disagree) become
    rejects with stage "combine".
    """
    if not len(batch):
        return batch
    made, reasons = _computed(batch.columns, steps)
    rest = replace(batch, columns={}).reject(reasons, stage="combine")
    return replace(rest, columns=made or {})


class _Part:
    """Consecutive rows of a batch, and what was prepared of them so far."""

    def __init__(self, batch: Batch, keep: Collection[str], first: int) -> None:
        self.end = first
        self.nbytes = 0
        self._batch = batch
        self._keep = keep
        self._first = first
        self._made: list[dict[str, BatchColumn]] = []
        self._reasons: Reasons = {}

    def add(self, steps: Sequence[PrepareStep], end: int) -> None:
        """Prepares the rows from `self.end` to `end`."""
        read = self._batch.columns
        if end - self.end < len(self._batch):
            rows = np.arange(self.end, end)
            read = {name: columns.take(column, rows) for name, column in read.items()}
        made, reasons = _computed(read, steps)
        self._reasons |= {self.end - self._first + row: why for row, why in reasons.items()}
        self.end = end
        if made is not None:
            kept = {name: column for name, column in made.items() if name in self._keep}
            self.nbytes += sum(column.nbytes for column in kept.values())
            self._made.append(kept)

    def batch(self) -> Batch:
        """The rows as a batch; the rejects of the whole batch are in its first part."""
        part = replace(self._batch, columns={})
        if self.end - self._first < len(part):
            part = part.take(np.arange(self._first, self.end))
        part = replace(part, rejects=self._batch.rejects if not self._first else ())
        made = {
            name: columns.concatenate([one[name] for one in self._made])
            for name in (self._made[0] if self._made else ())
        }
        return replace(part.reject(self._reasons, stage="prepare"), columns=made)


def _computed(
    read: Mapping[str, BatchColumn], steps: Sequence[Step]
) -> tuple[dict[str, BatchColumn] | None, Reasons]:
    """The columns of the rows that every step can compute, and the reasons of the others.

    Without such rows there are no columns: None.
    """
    done = dict(read)
    rows = np.arange(len(next(iter(read.values()))))
    reasons: Reasons = {}
    for step in steps:
        while True:
            try:
                done |= apply(step, done)
                break
            except RowsError as error:
                bad: Mapping[int, str] = error.messages
            except ValueError as error:
                # What nothing could foresee: lengths that vary and here do not go together.
                bad = dict.fromkeys(range(len(rows)), str(error))
            reasons |= {int(rows[i]): (step.error_type, message) for i, message in bad.items()}
            good = np.array([i for i in range(len(rows)) if i not in bad], np.intp)
            if not len(good):
                return None, reasons
            rows = rows[good]
            done = {name: columns.take(column, good) for name, column in done.items()}
    return done, reasons
