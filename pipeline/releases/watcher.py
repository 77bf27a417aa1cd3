"""Looks for new versions in the background, because a storage may answer slowly.

A local runner has one thread for the bundles of all steps: anything that waits there stops the
stream. So each pattern has a thread of its own, and bundles only collect what it found.

What was seen is remembered by the process. After a restart the newest version is proposed
once more, under the same candidate id, and the gate drops what it knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from pipeline.errors import ArtifactError, is_interrupt
from pipeline.readable import logger
from pipeline.releases.candidate import Candidate
from pipeline.releases.version_rule import VersionRule
from pipeline.releases.versions import Look, StoredFile, WatchTarget, next_look
from pipeline.runner.job_thread import JobThread
from pipeline.runner.outage import Outage
from pipeline.serving.process_handle import process_object

_LOGGER = logger(__name__)


class Lister(Protocol):
    """Lists files of a storage. Picklable, safe to use from several threads."""

    def list_files(self, pattern: str, rule: VersionRule | None = None) -> Sequence[StoredFile]:
        """The files that match `pattern` or lie below a match, in any order.

        May list others as well. Returns within a minute or so, whatever the storage does.

        Args:
          pattern: see :mod:`pipeline.spec.version_pattern`.
          rule: how the versions are ordered, where that is fixed: the newest are looked at closely.

        Raises:
          ArtifactNotFoundError: the bucket, or the folder before the first wildcard, is missing.
          ArtifactError: the storage refuses, or does not answer.
        """
        ...


@dataclass
class _Watch:
    """One target, and what its thread knows about it.

    Attributes:
      due_secs: when to look next; None to wait until somebody asks.
      offers: candidates that nobody has confirmed yet.
      outage: looks in a row that failed.
      announced: the version that was last reported as incomplete.
    """

    target: WatchTarget
    due_secs: float | None
    outage: Outage
    look: Look = field(default_factory=Look)
    offers: list[Candidate] = field(default_factory=list)
    announced: str | None = None


class Watcher:
    """Looks at targets and offers candidates. Every method may be called from any thread.

    Args:
      targets: what to look at.
      lister: lists the files.
      interval_secs: the time between two looks at a target, and how long a version must stay
        unchanged to be complete.
      periodic: look all the time; else only when asked to, and again for as long as the newest
        version is incomplete or the storage fails.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        targets: Sequence[WatchTarget],
        lister: Lister,
        *,
        interval_secs: float,
        periodic: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lister = lister
        self._interval_secs = interval_secs
        self._periodic = periodic
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = False
        first_secs = clock() if periodic else None
        self._watches = {
            target: _Watch(target, first_secs, self._outage(target)) for target in targets
        }
        self._threads: list[JobThread] = []
        for watch in self._watches.values():
            name = f"watch {watch.target.pattern}"
            self._threads.append(JobThread(name, partial(self._run, watch)))

    def look_now(self, target: WatchTarget) -> None:
        """Asks for a look at one of the targets; returns at once.

        Raises:
          KeyError: it is none of them.
        """
        with self._changed:
            self._watches[target].due_secs = self._clock()
            self._changed.notify_all()

    def offers(self, wait_secs: float = 0.0) -> list[Candidate]:
        """The candidates that wait to be confirmed: at most one version for each target.

        A newer version replaces one that is not confirmed yet.

        Args:
          wait_secs: how long to wait for the first one.

        Raises:
          ThreadEndedError: nobody looks at one of the targets any more.
        """
        for thread in self._threads:
            thread.check()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(self._offered()), wait_secs)
            return list(self._offered())

    def confirm(self, candidates: Collection[Candidate]) -> None:
        """Stops offering `candidates`: somebody else is responsible for them now."""
        with self._changed:
            for watch in self._watches.values():
                watch.offers = [offer for offer in watch.offers if offer not in candidates]

    def close(self) -> None:
        """Ends the threads, each after the look that it is at; does not wait for them."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _outage(self, target: WatchTarget) -> Outage:
        return Outage(
            _LOGGER,
            target.pattern,
            begins="no look for new versions: %(why)s; what serves goes on, and the next look is "
            f"in {self._interval_secs:g} s",
            ends="looking for new versions under %(what)s works again, after %(secs).0f s",
            clock=self._clock,
        )

    def _offered(self) -> Iterable[Candidate]:
        return (offer for watch in self._watches.values() for offer in watch.offers)

    def _run(self, watch: _Watch) -> None:
        while self._wait_until_due(watch):
            started = self._clock()
            next_secs = started + self._interval_secs
            with self._changed:
                # Before the look: whoever asks for another look during this one has seen something
                # newer.
                watch.due_secs = next_secs if self._periodic else None
            done = self._look(watch, started)
            with self._changed:
                if watch.due_secs is None and not done:
                    watch.due_secs = next_secs

    def _wait_until_due(self, watch: _Watch) -> bool:
        """Waits; False when closed."""
        with self._changed:
            while not self._closed:
                remaining = None if watch.due_secs is None else watch.due_secs - self._clock()
                if remaining is not None and remaining <= 0:
                    return True
                self._changed.wait(remaining)
        return False

    def _look(self, watch: _Watch, now_secs: float) -> bool:
        """Looks once; whether that may have been the last look for now."""
        try:
            rule = watch.look.rule or watch.target.rule
            files = self._lister.list_files(watch.target.pattern, rule)
            watch.look, candidates = next_look(
                watch.target, watch.look, files, now_secs=now_secs, settle_secs=self._interval_secs
            )
        except BaseException as error:  # whatever it is, the next look may go well
            if is_interrupt(error):
                raise
            watch.outage.begin(error, None if isinstance(error, ArtifactError) else error)
            return False
        watch.outage.end()
        self._note_incomplete(watch)
        if candidates:
            newer = any(candidate.passed_over is None for candidate in candidates)
            with self._changed:
                waiting = [one for one in watch.offers if one.passed_over or not newer]
                watch.offers = [*waiting, *candidates]
                self._changed.notify_all()
        return not watch.look.settling

    def _note_incomplete(self, watch: _Watch) -> None:
        waiting = watch.look.waiting
        if waiting is None or waiting.uri == watch.announced:
            return
        watch.announced = waiting.uri
        marker = watch.target.complete_marker
        reason = (
            f"until it stays unchanged for {self._interval_secs:g} s"
            if watch.look.settling
            else f"until it has the file {marker}"
        )
        _LOGGER.info("%s is new, and not used %s", waiting.uri, reason)


@dataclass(frozen=True)
class WatcherHandle:
    """What travels to the workers instead of a watcher: it can be pickled.

    Attributes:
      job_key: names the job; a process normally sees only one.
      targets, lister, interval_secs, periodic: see Watcher.
    """

    job_key: str
    targets: tuple[WatchTarget, ...]
    lister: Lister
    interval_secs: float
    periodic: bool = True

    def get(self) -> Watcher:
        """The watcher of this process: the same one for every step of the job, also once closed."""
        make = partial(
            Watcher,
            self.targets,
            self.lister,
            interval_secs=self.interval_secs,
            periodic=self.periodic,
        )
        return process_object(Watcher, self.job_key, make)
