"""Predictions that a sink refused: taken off the predictions, counted as dead letters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.metrics import Metrics

from pipeline.batch.batch import Reject
from pipeline.batch.metrics import DEAD_LETTERS, NAMESPACE, PREDICTIONS
from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import RunStatistics
from pipeline.runner.beam_types import DoFn
from pipeline.transforms.tally import process_tally

LETTERS = "letters"
STATISTICS = "statistics"


@beam.typehints.with_input_types(bytes)
class CountRefused(DoFn):
    """Dead letters (lines) of rows that Encode counted as predictions -> the same.

    Corrects what Encode counted of them: metrics, this process's tally and, as the output
    STATISTICS, the run's statistics. LETTERS are the lines.

    Args:
      job_key: whose tally.
      reported: whether statistics are made.
    """

    def __init__(self, job_key: str, *, reported: bool) -> None:
        self._job_key = job_key
        self._reported = reported

    def process(self, line: bytes) -> Iterator[Any]:
        """Counts one dead letter."""
        letter = orjson.loads(line)
        Metrics.counter(NAMESPACE, PREDICTIONS).dec()
        Metrics.counter(NAMESPACE, DEAD_LETTERS).inc()
        stage, error_type = letter["stage"], letter["error_type"]
        Metrics.counter(NAMESPACE, f"{DEAD_LETTERS}/{stage}/{error_type}").inc()
        process_tally(self._job_key).refuse(letter["release"]["generation"])
        yield beam.pvalue.TaggedOutput(LETTERS, line)
        if self._reported:
            yield beam.pvalue.TaggedOutput(STATISTICS, _statistics(letter))


def _statistics(letter: dict[str, Any]) -> RunStatistics:
    reject = Reject(
        letter["payload"].encode(),
        letter["id"],
        letter["stage"],
        letter["error_type"],
        letter["error_message"],
    )
    now_us = time.time_ns() // 1000
    return run_statistics.from_refused(reject, letter["release"]["generation"], now_us)
