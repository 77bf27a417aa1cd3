"""Looks for new versions in the background, because a storage may answer slowly.

A local runner has one thread for the bundles of all steps: anything that waits there stops the
stream. So each pattern has a thread of its own, and bundles only collect what it found.

What was seen is remembered by the process. A candidate is offered at most once an interval until
it has its verdict, since what a bundle took along may be lost. After a restart the newest version
is found once more, under the same candidate id, and offered unless it has its verdict.

Another thread reads what people propose in the release folder, in every mode.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from pipeline.errors import ArtifactError, is_interrupt
from pipeline.readable import logger
from pipeline.releases.candidate import Candidate
from pipeline.releases.orders.proposals import Orders, ProposalReader
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
      waiting: candidates without a verdict, as far as that was looked up.
      offers: those of them that are to be offered now.
      outage: looks in a row that failed.
      announced: the version that was last reported as incomplete.
    """

    target: WatchTarget
    due_secs: float | None
    outage: Outage
    look: Look = field(default_factory=Look)
    waiting: list[Candidate] = field(default_factory=list)
    offers: list[Candidate] = field(default_factory=list)
    announced: str | None = None


class Watcher:
    """Looks at targets and offers candidates. Every method may be called from any thread.

    Args:
      targets: what to look at.
      lister: lists the files.
      has_verdict: whether a candidate has its verdict; may read a storage.
      interval_secs: the time between two looks at a target, and how long a version must stay
        unchanged to be complete.
      periodic: look all the time; else only when asked to, and again for as long as the newest
        version is incomplete or the storage fails.
      orders: where people propose releases; None where nobody can.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        targets: Sequence[WatchTarget],
        lister: Lister,
        has_verdict: Callable[[Candidate], bool],
        *,
        interval_secs: float,
        periodic: bool = True,
        orders: Orders | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lister = lister
        self._has_verdict = has_verdict
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
        self._ordered: Sequence[Candidate] = ()
        if orders is not None:
            read = partial(self._read_orders, orders)
            self._threads.append(JobThread("read proposals", read))

    def look_now(self, target: WatchTarget) -> None:
        """Asks for a look at one of the targets; returns at once.

        Raises:
          KeyError: it is none of them.
        """
        with self._changed:
            self._watches[target].due_secs = self._clock()
            self._changed.notify_all()

    def offers(self, wait_secs: float = 0.0) -> list[Candidate]:
        """The candidates whose turn it is: each once an interval until it has its verdict.

        A newer version replaces one that has none yet.

        Args:
          wait_secs: how long to wait for the first one.

        Raises:
          ThreadEndedError: nobody looks at one of the targets any more.
        """
        for thread in self._threads:
            thread.check()
        with self._changed:
            watches = self._watches.values()
            self._changed.wait_for(
                lambda: self._closed or self._ordered or any(w.offers for w in watches), wait_secs
            )
            offered = [*self._ordered, *(offer for watch in watches for offer in watch.offers)]
            self._ordered = ()
            for watch in watches:
                watch.offers = []
            return offered

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
                if watch.due_secs is None and (watch.waiting or not done):
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
        undecided = watch.waiting
        candidates: Sequence[Candidate] = ()
        try:
            undecided = [one for one in undecided if not self._has_verdict(one)]
            rule = watch.look.rule or watch.target.rule
            files = self._lister.list_files(watch.target.pattern, rule)
            look, found = next_look(
                watch.target, watch.look, files, now_secs=now_secs, settle_secs=self._interval_secs
            )
            candidates = [one for one in found if not self._has_verdict(one)]
            watch.look = look
        except BaseException as error:  # whatever it is, the next look may go well
            if is_interrupt(error):
                raise
            watch.outage.begin(error, None if isinstance(error, ArtifactError) else error)
            done = False
        else:
            watch.outage.end()
            self._note_incomplete(watch)
            done = not watch.look.settling
        newer = any(candidate.passed_over is None for candidate in candidates)
        with self._changed:
            kept = [one for one in undecided if one.passed_over or not newer]
            watch.waiting = [*kept, *candidates]
            watch.offers = list(watch.waiting)
            self._changed.notify_all()
        return done

    def _read_orders(self, orders: Orders) -> None:
        reader = ProposalReader(orders.folder, self._has_verdict)
        outage = Outage(
            _LOGGER,
            orders.folder.folder,
            begins="proposals in %(what)s cannot be read: %(why)s; what serves goes on",
            ends="reading proposals in %(what)s works again, after %(secs).0f s",
            clock=self._clock,
        )
        while True:
            waiting: Sequence[Candidate] = ()
            try:
                waiting = reader.look()
            except BaseException as error:  # whatever it is, the next look may go well
                if is_interrupt(error):
                    raise
                outage.begin(error, None if isinstance(error, ArtifactError) else error)
            else:
                outage.end()
            with self._changed:
                self._ordered = waiting
                self._changed.notify_all()
                if self._changed.wait_for(lambda: self._closed, orders.poll_secs):
                    return

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
      targets, lister, has_verdict, interval_secs, periodic, orders: see Watcher.
    """

    job_key: str
    targets: tuple[WatchTarget, ...]
    lister: Lister
    has_verdict: Callable[[Candidate], bool]
    interval_secs: float
    periodic: bool = True
    orders: Orders | None = None

    def get(self) -> Watcher:
        """The watcher of this process: the same one for every step of the job, also once closed."""
        make = partial(
            Watcher,
            self.targets,
            self.lister,
            self.has_verdict,
            interval_secs=self.interval_secs,
            periodic=self.periodic,
            orders=self.orders,
        )
        return process_object(Watcher, self.job_key, make)
