"""Combine: from the models' columns to the predictions' columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apache_beam as beam

from pipeline.batch.batch import Batch
from pipeline.ops.batches import combine_batch
from pipeline.runner.beam_types import DoFn
from pipeline.spec.combine import CombineStep


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(Batch)
class Combine(DoFn):
    """Runs the combine steps over each batch.

    Args:
      steps: in the order in which they run.
    """

    def __init__(self, steps: Sequence[CombineStep]) -> None:
        self._steps = tuple(steps)

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Combines one batch."""
        yield combine_batch(batch, self._steps)
