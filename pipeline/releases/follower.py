"""Every process follows the release log: the models that serve are those of its newest release.

A thread looks for the next generation now and then, with one small read, and asks the process's
ReleaseManager for it. Nothing of the way of the records waits for that, except the first batch of a
process: it waits until the log was read once, so that a process that starts late serves the newest
release and nothing older.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.batch.release import Release
from pipeline.errors import ArtifactError, is_interrupt
from pipeline.readable import logger
from pipeline.releases.candidate import ReleaseEvent
from pipeline.releases.gate import utc_now
from pipeline.releases.log import Look, ReleaseLog
from pipeline.runner.job_thread import CLOSE_SECS, JobThread
from pipeline.runner.outage import Outage
from pipeline.serving.process_handle import ProcessHandle
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager

_LOGGER = logger(__name__)
_LISTING_SECS = 600.0
_JITTER = 0.2


class ReleaseFollower:
    """Tells the models of one process what the log has. Methods may be called from any thread.

    Args:
      log: to follow.
      manager: the models of the process.
      initial: what serves where the log has no release of these models.
      poll_secs: between two looks, give or take a fifth, so that many processes do not look at
        once.
      problems: why a recorded release must not serve; who may write to the folder must not decide
        where models come from.
      listing_secs: between two listings, which find what comes behind a generation that was left
        out, and tell whether the folder is still there.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        log: ReleaseLog,
        manager: ReleaseManager,
        initial: Release,
        *,
        poll_secs: float,
        problems: Callable[[Release], Sequence[str]] = lambda release: (),
        listing_secs: float = _LISTING_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._manager = manager
        self._initial = initial
        self._models = [version.model for version in initial.versions]
        self._poll_secs = poll_secs
        self._problems = problems
        self._listing_secs = listing_secs
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = False
        self._position = 0
        self._newest: Release | None = None
        self._events: list[ReleaseEvent] = []
        self._others_said = False
        self._gone = False
        self._outage = Outage(
            _LOGGER,
            log.folder,
            begins="the release log %(what)s cannot be followed: %(why)s; what serves goes on",
            ends="following the release log %(what)s works again, after %(secs).0f s",
            clock=clock,
        )
        self._thread = JobThread("follow releases", self._run)

    def newest(self) -> Release:
        """The newest release of these models; waits until the log was read once.

        Raises:
          ThreadEndedError: nobody reads it any more.
          RuntimeError: the follower was closed.
        """
        with self._changed:
            while self._newest is None:
                if self._closed:
                    raise RuntimeError("the release log is followed no more")
                self._thread.check()
                self._changed.wait(1.0)
            return self._newest

    def drain_events(self) -> list[ReleaseEvent]:
        """What was passed over since the last call.

        Raises:
          ThreadEndedError: nobody reads the log any more.
        """
        with self._changed:
            drained, self._events = self._events, []
        self._thread.check()
        return drained

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECS)

    # --- the thread

    def _run(self) -> None:
        listed_at = float("-inf")
        while True:
            listing = self._clock() - listed_at >= self._listing_secs
            try:
                look = self._log.look if listing else self._log.since
                self._take(look(self._position, self._models, count=1), listing)
            except BaseException as error:  # whatever it is, the next look may go well
                if is_interrupt(error):
                    raise
                self._outage.begin(error, None if isinstance(error, ArtifactError) else error)
            else:
                listed_at = self._clock() if listing else listed_at
                if self._gone:
                    self._outage.begin("its releases are gone")
                else:
                    self._outage.end()
            pause_secs = self._poll_secs * random.uniform(1 - _JITTER, 1 + _JITTER)
            with self._changed:
                if self._closed or self._changed.wait_for(lambda: self._closed, pause_secs):
                    return

    def _take(self, look: Look, listing: bool) -> None:
        """Takes over what a look has found."""
        newest = look.appended[-1].release if look.appended else None
        with self._changed:
            if newest is not None and (problems := self._problems(newest)):
                self._events.append(self._passed_over(newest, "; ".join(problems)))
                newest = None
            if newest is None and self._newest is None:
                _LOGGER.warning(
                    "%s has no release of these models: the job's first one serves",
                    self._log.folder,
                )
                newest = self._initial
            if look.other is not None and not self._others_said:
                self._others_said = True
                theirs = ", ".join(version.model for version in look.other.versions)
                why = f"it has the models {theirs}, and this job has {', '.join(self._models)}"
                self._events.append(self._passed_over(look.other, why))
            if listing:
                self._gone = look.is_empty and self._position > 0
            elif look.appended:
                self._gone = False
            self._position = look.position
            self._newest = newest or self._newest
            self._changed.notify_all()
        if newest is not None:
            self._manager.aspire(newest)

    def _passed_over(self, release: Release, why: str) -> ReleaseEvent:
        reason = f"{self._log.uri_of(release.generation)} is passed over: {why}"
        return ReleaseEvent("ignored", utc_now(), release=release, reason=reason)


@dataclass(frozen=True)
class FollowerFactory:
    """Everything that a process needs to follow the log. Can be pickled.

    Attributes:
      log, initial, poll_secs, problems: see ReleaseFollower.
      manager: finds the models of the process.
    """

    log: ReleaseLog
    manager: ManagerHandle
    initial: Release
    poll_secs: float
    problems: Callable[[Release], Sequence[str]]

    def __call__(self) -> ReleaseFollower:
        """A new follower."""
        return ReleaseFollower(
            self.log,
            self.manager.get(),
            self.initial,
            poll_secs=self.poll_secs,
            problems=self.problems,
        )


@dataclass(frozen=True)
class FollowerHandle(ProcessHandle[ReleaseFollower]):
    """The ReleaseFollower of each process of a job. Close it before the ManagerHandle."""
