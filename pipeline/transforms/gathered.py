"""The statistics of a job that runs in this process, gathered while others may look at them."""

from __future__ import annotations

import threading

from pipeline.report.statistics import run as run_statistics
from pipeline.report.statistics.run import RunStatistics
from pipeline.serving.process_handle import process_object

_MANY = 32


class Gathered:
    """Running statistics. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: list[RunStatistics] = []

    def add(self, statistics: RunStatistics) -> None:
        """Adds those of a bundle."""
        with self._lock:
            self._parts.append(statistics)
            if len(self._parts) >= _MANY:
                self._parts = [run_statistics.merged(self._parts)]

    def read(self) -> RunStatistics:
        """All so far."""
        with self._lock:
            self._parts = [run_statistics.merged(self._parts)]
            return self._parts[0]


def process_statistics(job_key: str) -> Gathered:
    """The statistics of one job in this process. Bundles that Beam retries count again."""
    return process_object(Gathered, job_key, Gathered)
