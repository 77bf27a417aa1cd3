"""Small batches of a bundle become larger ones, where each of many files has few records.

A block holds records of one file, and a call of a model costs about the same for one row as for a
hundred: a folder of files of two records would pay for each file what a batch of thousands costs.
So batches wait for others of their bundle; nothing waits longer than that, and nothing is shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from pipeline.batch.batch import Batch, concatenate
from pipeline.runner.beam_types import DoFn

MOST_BYTES = 8 << 20


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(Batch)
class JoinSmallBatches(DoFn):
    """PCollection of decoded batches of a batch job -> PCollection of fewer, fuller ones.

    Rows and rejects stay as they are; their order is not promised. A batch of at least half of
    either limit does not wait.

    Args:
      most_rows: rows and rejects of a batch that is made of several.
      most_bytes: of the payloads and columns of such a batch, as far as they are known.
    """

    def __init__(self, most_rows: int, most_bytes: int = MOST_BYTES) -> None:
        self._most_rows, self._most_bytes = most_rows, most_bytes

    def start_bundle(self) -> None:
        """Nothing waits."""
        self._held: list[Batch] = []
        self._rows = self._bytes = 0

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Holds a small batch, and lets go what has become enough."""
        rows, size = len(batch) + len(batch.rejects), batch.estimated_bytes
        if 2 * rows >= self._most_rows or 2 * size >= self._most_bytes:
            yield batch
            return
        if self._rows + rows > self._most_rows or self._bytes + size > self._most_bytes:
            yield from self._released()
        self._held.append(batch)
        self._rows += rows
        self._bytes += size

    def finish_bundle(self) -> Iterator[Any]:
        """Lets go what waits."""
        for batch in self._released():
            yield GlobalWindows.windowed_value(batch)

    def _released(self) -> Iterator[Batch]:
        held = self._held
        self.start_bundle()
        if held:
            yield concatenate(held)
