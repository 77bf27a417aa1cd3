"""Encode: a batch leaves as lines or messages, its rejects as dead letters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.batch.batch import Batch
from pipeline.batch.metrics import DEAD_LETTERS, LATENCY_MS, NAMESPACE, PREDICTIONS
from pipeline.batch.tensors import Shape
from pipeline.formats import line_encoder
from pipeline.formats.csv import encoder as csv_encoder
from pipeline.formats.csv.encoder import CsvLayout
from pipeline.formats.table_encoder import prediction_table
from pipeline.runner.beam_types import DoFn
from pipeline.transforms.tally import process_tally

PREDICTION_LINES = "prediction_lines"
PREDICTION_MESSAGES = "prediction_messages"
PREDICTION_TABLES = "prediction_tables"
PREDICTION_CSV = "prediction_csv"
DEAD_LETTER_LINES = "dead_letter_lines"
DEAD_LETTER_MESSAGES = "dead_letter_messages"
OUTCOMES = "outcomes"
OUTPUTS = (
    PREDICTION_LINES,
    PREDICTION_MESSAGES,
    PREDICTION_TABLES,
    PREDICTION_CSV,
    DEAD_LETTER_LINES,
    DEAD_LETTER_MESSAGES,
    OUTCOMES,
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@beam.typehints.with_input_types(Batch)
class Encode(DoFn):
    """Each output in the form that its sinks take: OUTPUTS names them, `wanted` chooses.

    Lines (of JSON, of CSV) come as chunks of whole lines (bytes), messages as tuples of Message,
    tables as Arrow record batches, each one a batch; outcomes as how many predictions and dead
    letters it has.
    Counts `predictions`, `dead_letters` and ``dead_letters/STAGE/ERROR_TYPE`` in the namespace
    "ensemble"; of records with an event time, the distribution `latency_ms` since then.

    Args:
      output: columns of a prediction, in order.
      wanted: which of OUTPUTS to make.
      job_key: whose tally to add to.
      types: column -> (dtype, shape of a row), as far as known before a record is computed.
      csv: the columns of CSV, where it is wanted.
      clock: tells the dead letters' time, UTC.
    """

    def __init__(
        self,
        output: Sequence[str],
        wanted: Sequence[str],
        job_key: str,
        types: Mapping[str, tuple[str, Shape]] | None = None,
        csv: CsvLayout | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._output = tuple(output)
        self._wanted = frozenset(wanted)
        self._job_key = job_key
        self._types = {name: types[name] for name in output if types and name in types}
        self._csv = csv
        self._clock = clock

    def process(self, batch: Batch) -> Iterator[Any]:
        """Encodes one finished batch."""
        csv = self._csv
        if csv is not None and len(batch):
            batch = csv_encoder.reject_misfits(batch, csv)
        lines: list[bytes] = []
        if PREDICTION_MESSAGES in self._wanted:
            lines = line_encoder.predictions(batch, self._output)
            fitting = line_encoder.reject_too_large(batch, lines)
            if fitting is not batch:
                batch, lines = fitting, line_encoder.predictions(fitting, self._output)
        if len(batch):
            yield from self._outputs(
                PREDICTION_LINES,
                lambda: b"".join(lines) or line_encoder.predictions_text(batch, self._output),
            )
            yield from self._outputs(
                PREDICTION_TABLES, lambda: prediction_table(batch, self._output, self._types)
            )
            if csv is not None:
                yield beam.pvalue.TaggedOutput(PREDICTION_CSV, csv_encoder.predictions(batch, csv))
            yield from self._outputs(
                PREDICTION_MESSAGES, lambda: line_encoder.prediction_messages(batch, lines)
            )
        if batch.rejects:
            now = self._clock()
            letters = [line_encoder.dead_letter(reject, now) for reject in batch.rejects]
            yield from self._outputs(DEAD_LETTER_LINES, lambda: b"".join(letters))
            yield from self._outputs(
                DEAD_LETTER_MESSAGES,
                lambda: tuple(map(line_encoder.dead_letter_message, batch.rejects, letters)),
            )
        yield from self._outputs(OUTCOMES, lambda: (len(batch), len(batch.rejects)))
        self._count(batch)

    def _outputs(self, tag: str, make: Callable[[], Any]) -> Iterator[Any]:
        if tag in self._wanted:
            yield beam.pvalue.TaggedOutput(tag, make())

    def _count(self, batch: Batch) -> None:
        now_us = time.time_ns() // 1000
        latencies_ms = [(now_us - o.event_time_us) / 1000 for o in batch.origins or ()]
        for latency_ms in latencies_ms:
            Metrics.distribution(NAMESPACE, LATENCY_MS).update(int(latency_ms))
        if len(batch):
            Metrics.counter(NAMESPACE, PREDICTIONS).inc(len(batch))
        if batch.rejects:
            Metrics.counter(NAMESPACE, DEAD_LETTERS).inc(len(batch.rejects))
        kinds = Counter((reject.stage, reject.error_type) for reject in batch.rejects)
        for (stage, error_type), count in kinds.items():
            Metrics.counter(NAMESPACE, f"{DEAD_LETTERS}/{stage}/{error_type}").inc(count)
        generation = batch.release.generation if batch.release else 0
        process_tally(self._job_key).add(len(batch), len(batch.rejects), generation, latencies_ms)
