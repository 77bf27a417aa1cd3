"""Watch mode: candidates from patterns under which versions appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipeline.releases.candidate import Candidate
from pipeline.releases.watcher import WatcherHandle
from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.runner.endless import RESTRICTION, WATERMARK, end

# A runner that heeds the pause between two polls (Dataflow does) pays for each with a checkpoint.
_PAUSE_SECS = 1.0


class WatchModels(PTransform):
    """Start of the pipeline -> PCollection of :class:`Candidate`, for as long as the job runs.

    A candidate is emitted at most once an interval until it has its verdict; and again when the
    source moves to another process before that.

    Args:
      handle: the watcher of each process. In event mode it is not periodic, and this source emits
        what the looks find that messages ask for.
      stopped: whether the job was asked to stop; a module-level function, since it is pickled.
      wait_secs: how long a poll waits for a candidate. FnApiRunner polls without pause, and in the
        thread of all other steps: short, so that they are not held up, but not nothing, so that an
        idle job does not keep a core busy.
    """

    def __init__(
        self, handle: WatcherHandle, stopped: Callable[[], bool], wait_secs: float = 0.01
    ) -> None:
        super().__init__()
        self._poll = _Poll(handle, stopped, wait_secs)

    def expand(self, begin: Any) -> Any:
        """Builds the source: one element, polled for ever."""
        return begin | "Start" >> beam.Impulse() | "Poll" >> beam.ParDo(self._poll)


@beam.typehints.with_output_types(Candidate)
class _Poll(DoFn):
    """Emits what the process's watcher offers."""

    def __init__(
        self, handle: WatcherHandle, stopped: Callable[[], bool], wait_secs: float
    ) -> None:
        self._handle = handle
        self._stopped = stopped
        self._wait_secs = wait_secs

    @DoFn.unbounded_per_element()
    def process(
        self,
        element: bytes,
        tracker: Any = RESTRICTION,
        _watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        watcher = self._handle.get()
        if self._stopped():
            watcher.close()
            end(tracker)
            return
        for candidate in watcher.offers(self._wait_secs):
            yield TimestampedValue(candidate, Timestamp.now())
        tracker.defer_remainder(Duration(_PAUSE_SECS))
