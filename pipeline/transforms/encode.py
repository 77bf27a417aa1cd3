"""Encode: a batch leaves as lines, its rows as predictions and its rejects as dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.core import encode
from pipeline.core.batch import Batch
from pipeline.serving.tally import process_tally

DEAD_LETTERS = "dead_letters"
NAMESPACE = "ensemble"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@beam.typehints.with_input_types(Batch)
class Encode(beam.DoFn):  # type: ignore[misc]  # Beam's base classes are untyped
    """Chunks of whole JSON lines: predictions on the main output, dead letters on DEAD_LETTERS.

    Counts `predictions`, `dead_letters` and ``dead_letters/STAGE/ERROR_TYPE`` in the namespace
    "ensemble".

    Args:
      output: columns of a prediction, in order.
      job_key: whose tally to add to.
      clock: tells the dead letters' time, UTC.
    """

    def __init__(
        self, output: Sequence[str], job_key: str, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._output = tuple(output)
        self._job_key = job_key
        self._clock = clock

    def process(self, batch: Batch) -> Iterator[bytes | beam.pvalue.TaggedOutput]:
        """Encodes one batch."""
        batch = encode.reject_not_finite(batch, self._output) if len(batch) else batch
        tally = process_tally(self._job_key)
        if len(batch):
            Metrics.counter(NAMESPACE, "predictions").inc(len(batch))
            yield encode.predictions(batch, self._output)
        if batch.rejects:
            now = self._clock()
            Metrics.counter(NAMESPACE, "dead_letters").inc(len(batch.rejects))
            kinds = Counter((reject.stage, reject.error_type) for reject in batch.rejects)
            for (stage, error_type), count in kinds.items():
                Metrics.counter(NAMESPACE, f"dead_letters/{stage}/{error_type}").inc(count)
            yield beam.pvalue.TaggedOutput(
                DEAD_LETTERS, b"".join(encode.dead_letter(reject, now) for reject in batch.rejects)
            )
        tally.add(predictions=len(batch), dead_letters=len(batch.rejects))
