"""Prepare: from the record's columns to what the models read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import apache_beam as beam

from pipeline.batch.batch import Batch
from pipeline.ops.batches import prepare_batch
from pipeline.ops.step import check_ready
from pipeline.runner.beam_types import DoFn
from pipeline.spec.prepare import PrepareStep


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(Batch)
class Prepare(DoFn):
    """Runs the prepare steps over each batch; a batch that becomes large leaves in parts.

    Args:
      steps: in the order in which they run.
      keep: the columns that later steps read.
    """

    def __init__(self, steps: Sequence[PrepareStep], keep: Collection[str]) -> None:
        self._steps = tuple(steps)
        self._keep = frozenset(keep)

    def setup(self) -> None:
        """Makes sure that the steps can run here.

        Raises:
          SpecError: a package is missing on this worker.
        """
        for step in self._steps:
            check_ready(step)

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Prepares one batch."""
        yield from prepare_batch(batch, self._steps, self._keep)
