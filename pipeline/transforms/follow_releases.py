"""AssignRelease in a stream: each batch is served by what is active in its process just then."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.batch.batch import Batch
from pipeline.batch.metrics import NAMESPACE, RELEASE_LAG_MS
from pipeline.batch.release import Release
from pipeline.errors import ModelError
from pipeline.readable import logger
from pipeline.releases.candidate import ReleaseEvent
from pipeline.releases.follower import FollowerHandle
from pipeline.runner.beam_types import DoFn
from pipeline.serving.release_manager import ManagerHandle
from pipeline.transforms.gate import EVENTS, activation_events

_LOGGER = logger(__name__)
_PAUSE_SECS = 10
"""What a batch waits before it fails again: the service tries it at once, and logs each failure."""
_lock = threading.Lock()
_failures: dict[str, tuple[float, str]] = {}
"""Job key -> when nothing could serve in this process, and why."""


@beam.typehints.with_input_types(Batch)
@beam.typehints.with_output_types(Batch)
class AssignActiveRelease(DoFn):
    """Stamps a batch with the release that is active in this process when the batch comes.

    What this process made of releases comes out on EVENTS.

    Args:
      handle: this process's models.
      initial: for a process that follows no release log; its first batch waits for it.
      follower: follows the log; the first batch waits for the newest release there. None where
        nothing changes the release from outside this process.
      falls_back: whether `initial` serves where this process cannot load the newest release: its
        gate, which is another job's, knows another graph.
      retry_secs: where the launch did not check the models: how long this process waits, after none
        of them could serve, before it loads them again. Batches fail meanwhile, each after a pause;
        each try is told.
      clock: seconds, monotonic.
      sleep: waits so many seconds.
    """

    def __init__(
        self,
        handle: ManagerHandle,
        initial: Release,
        follower: FollowerHandle | None = None,
        *,
        falls_back: bool = False,
        retry_secs: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._handle = handle
        self._initial = initial
        self._follower_handle = follower
        self._falls_back = falls_back
        self._retry_secs = retry_secs
        self._clock = clock
        self._sleep = sleep

    def setup(self) -> None:
        """Finds the process's manager, and begins to follow the log."""
        self._manager = self._handle.get()
        self._follower = self._follower_handle.get() if self._follower_handle else None

    def process(self, batch: Batch) -> Iterator[Any]:
        """Stamps one batch."""
        yield batch.with_release(self._manager.active() or self._first())
        lag_ms = int(1000 * self._manager.lag_secs())
        Metrics.distribution(NAMESPACE, RELEASE_LAG_MS).update(lag_ms)
        for event in self._events():
            yield beam.pvalue.TaggedOutput(EVENTS, event)

    def _first(self) -> Release:
        newest = self._follower.newest() if self._follower else self._initial
        if failed := self._last_failure():
            self._sleep(_PAUSE_SECS)
            raise ModelError(failed)
        try:
            return self._newest_or_initial(newest)
        except Exception as error:
            self._note(error)
            raise

    def _newest_or_initial(self, newest: Release) -> Release:
        try:
            return self._manager.wait_active(newest)
        except Exception as error:
            if not self._falls_back or newest == self._initial:
                raise
            _LOGGER.warning(
                "release generation %d cannot serve here, so generation %d does: %s",
                newest.generation,
                self._initial.generation,
                error,
            )
            return self._manager.wait_active(self._initial)

    def _last_failure(self) -> str:
        """Why nothing could serve in this process a moment ago; empty if it is worth a try."""
        with _lock:
            at, reason = _failures.get(self._handle.job_key, (-math.inf, ""))
        return reason if self._clock() - at < self._retry_secs else ""

    def _note(self, error: Exception) -> None:
        """Tells what all threads of this process that wait have in common, once."""
        if not self._retry_secs:
            return
        with _lock:
            at, _ = _failures.get(self._handle.job_key, (-math.inf, ""))
            if self._clock() - at < self._retry_secs:
                return
            _failures[self._handle.job_key] = (self._clock(), str(error))
        _LOGGER.error(
            "no release can serve in this process, which tries again in %.0f s; records stay "
            "unacknowledged until then: %s",
            self._retry_secs,
            error,
        )

    def _events(self) -> Iterator[ReleaseEvent]:
        yield from activation_events(self._manager)
        if self._follower is not None:
            yield from self._follower.drain_events()
