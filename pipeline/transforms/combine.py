"""Combine: from the models' columns to the predictions' columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apache_beam as beam

from pipeline.batch.batch import Batch
from pipeline.formats.line_encoder import reject_unwritable
from pipeline.ops.batches import combine_batch
from pipeline.runner.beam_types import DoFn
from pipeline.spec.combine import CombineStep


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(Batch)
class Combine(DoFn):
    """Finishes each batch: runs the combine steps, then rejects rows that no sink can hold.

    So everything behind it finds only rows that become predictions.

    Args:
      steps: in the order in which they run.
      output: columns of a prediction.
    """

    def __init__(self, steps: Sequence[CombineStep], output: Sequence[str]) -> None:
        self._steps = tuple(steps)
        self._output = tuple(output)

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Finishes one batch."""
        combined = combine_batch(batch, self._steps)
        yield reject_unwritable(combined, self._output) if len(combined) else combined
