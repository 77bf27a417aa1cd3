"""Ticks: elements that come by themselves, for steps that pick up what happened meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.runner.endless import RESTRICTION, WATERMARK, end


class Ticks(PTransform):
    """Start of the pipeline -> PCollection of int, one now and then, and a last one at the end.

    Beam's PeriodicImpulse would do, but cannot be stopped. A poll never waits: where the runner
    does not either, other sources must.

    Args:
      interval_secs: between two ticks, at least.
      stopped: whether the job was asked to stop; a module-level function, since it is pickled.
    """

    def __init__(self, interval_secs: float, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._poll = _Poll(interval_secs, stopped)

    def expand(self, begin: Any) -> Any:
        """Builds the source: one element, polled for ever."""
        return begin | "Start" >> beam.Impulse() | "Poll" >> beam.ParDo(self._poll)


@beam.typehints.with_output_types(int)
class _Poll(DoFn):
    def __init__(self, interval_secs: float, stopped: Callable[[], bool]) -> None:
        self._interval_secs = interval_secs
        self._stopped = stopped

    def setup(self) -> None:
        self._due = float("-inf")
        self._count = 0

    @DoFn.unbounded_per_element()
    def process(
        self, element: bytes, tracker: Any = RESTRICTION, _watermark: Any = WATERMARK
    ) -> Iterator[TimestampedValue]:
        ending = self._stopped()
        if ending:
            end(tracker)
        if ending or time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval_secs
            self._count += 1
            yield TimestampedValue(self._count, Timestamp.now())
        if not ending:
            tracker.defer_remainder(Duration(self._interval_secs))
