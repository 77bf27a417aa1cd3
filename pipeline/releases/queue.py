"""The candidates of one process: they wait here, and a thread takes them to the gate one by one.

Bundles only hand in candidates and collect the verdicts. The ReleaseManager of the same process,
which has loaded its models by then, aspires to a release that passes.

Candidates that still wait when the process ends are dropped. In watch mode the next process finds
the newest version again; in event mode messages are delivered again, since they are acknowledged
when the queue is settled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.readable import logger
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.gate import Gate, Verdict
from pipeline.releases.manifest import Manifest
from pipeline.releases.proposal import next_candidate, spelled_out
from pipeline.releases.state import HANDLED, GateState
from pipeline.runner.job_thread import CLOSE_SECS, JobThread
from pipeline.serving.activation import RETRY_SECS
from pipeline.serving.process_handle import ProcessHandle
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager

_LOGGER = logger(__name__)


@dataclass(eq=False)
class _Waiting:
    """A candidate in the queue.

    Attributes:
      candidate: the candidate as it was handed in.
      manifest: its manifest, once that was read.
      spelled_out: the candidate with the content of its manifest; None before that was looked at.
      attempts: how often the gate had no verdict on it because the storage could not be read.
      due: the time, on the queue's clock, before which it does not go to the gate.
    """

    candidate: Candidate
    manifest: Manifest | None = None
    spelled_out: Candidate | None = None
    attempts: int = 0
    due: float = float("-inf")


class CandidateQueue:
    """Takes candidates to the gate in the background. All methods may be called from any thread.

    Args:
      gate: comes to the verdicts.
      manager: the models of this process.
      state: what the gate remembers at the start.
      retry_secs: see RETRY_SECS.
      clock: the time in seconds, monotonic.
    """

    def __init__(
        self,
        gate: Gate,
        manager: ReleaseManager,
        state: GateState,
        *,
        retry_secs: tuple[float, ...] = RETRY_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._manager = manager
        self._state = state
        self._retry_secs = retry_secs
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._busy: list[_Waiting] = []
        self._events: list[ReleaseEvent] = []
        self._told: tuple[str, ...] = ()
        self._thread: JobThread | None = None
        self._closed = False
        self._dropped = False

    @property
    def state(self) -> GateState:
        """What the gate remembers now."""
        return self._state

    def propose(self, candidate: Candidate) -> None:
        """Hands in a candidate and returns at once.

        One that waits already is dropped: a source offers it until it has its verdict. So is
        everything once the queue is closed.
        """
        with self._changed:
            here = (*self._waiting, *self._busy)
            if candidate.candidate_id in [one.candidate.candidate_id for one in here]:
                return
            if self._closed:
                self._dropped = True
                return
            self._waiting.append(_Waiting(candidate))
            if self._thread is None:
                self._thread = JobThread("gate", self._run)
            self._changed.notify_all()

    def drain_events(self) -> list[ReleaseEvent]:
        """The verdicts since the last call, in order.

        Raises:
          ThreadEndedError: there will be no verdicts any more.
        """
        with self._changed:
            drained, self._events = self._events, []
        if self._thread is not None and not drained:
            self._thread.check()
        return drained

    def wait_idle(self, timeout_secs: float | None = None) -> bool:
        """Waits until every candidate has its verdict; False if the time is up first."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or not (self._waiting or self._busy), timeout_secs
            )

    def is_settled(self) -> bool:
        """Whether every candidate has its verdict; never once `close` dropped one."""
        with self._changed:
            return not (self._waiting or self._busy or self._dropped)

    def close(self) -> None:
        """Ends the thread, gives up the candidate that is at the gate now, drops the others.

        A candidate that keeps the thread in native code is not waited for longer than CLOSE_SECS.
        """
        with self._changed:
            self._closed = True
            self._dropped |= bool(self._waiting or self._busy)
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECS)

    # --- the thread

    def _run(self) -> None:
        while (one := self._next()) is not None:
            verdict = self._gate(
                self._state,
                one.candidate,
                self._manager,
                activate=self._manager.aspire,
                manifest=one.manifest,
                cancelled=lambda: self._closed,
            )
            if one.attempts == len(self._retry_secs) and not self._closed:
                verdict = self._gate.give_up(verdict)
            with self._changed:
                self._busy = []
                # Without a verdict when the job ends, it is dropped like those that wait.
                if not verdict.again or not (self._closed or self._postponed(one, verdict)):
                    self._state = verdict.state
                    if not (verdict.recorded and one.candidate.candidate_id in self._told):
                        self._events.append(verdict.event)
                    self._told = (*self._told, one.candidate.candidate_id)[-HANDLED:]
                self._changed.notify_all()

    def _next(self) -> _Waiting | None:
        """Waits for a candidate that is due; None if the queue is closed."""
        while due := self._wait_until_due():
            for one in due:
                if one.spelled_out is None:
                    one.manifest = self._gate.manifest_of(one.candidate)
                    one.spelled_out = spelled_out(one.candidate, one.manifest)
            waiting = [one.spelled_out or one.candidate for one in due]
            chosen = due[next_candidate(waiting, self._state.rules)]
            with self._changed:
                if not self._closed:
                    self._waiting.remove(chosen)
                    self._busy = [chosen]
                    return chosen
        return None

    def _wait_until_due(self) -> list[_Waiting]:
        """The candidates that are due, in the order of arrival; none if the queue is closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                ordered = [one for one in self._waiting if one.candidate.ordered]
                # An order waits for the one before, also where that is to be tried again.
                may_go = [one for one in self._waiting if one not in ordered[1:]]
                if due := [one for one in may_go if one.due <= now]:
                    return due
                pause = min((one.due for one in may_go), default=float("inf")) - now
                self._changed.wait(None if pause == float("inf") else pause)
            return []

    def _postponed(self, one: _Waiting, verdict: Verdict) -> bool:
        """Puts a candidate back if it may go to the gate again."""
        if one.attempts == len(self._retry_secs):
            return False
        if one.attempts == 0:
            _LOGGER.warning(
                "candidate '%s' is tried again for up to %.0f s: %s",
                one.candidate.candidate_id,
                sum(self._retry_secs),
                verdict.event.reason,
            )
        one.due = self._clock() + self._retry_secs[one.attempts]
        one.attempts += 1
        position = 0 if one.candidate.ordered else len(self._waiting)
        self._waiting.insert(position, one)
        return True


@dataclass(frozen=True)
class CandidateQueueFactory:
    """Everything that a process needs to make its queue. Can be pickled.

    Attributes:
      gate: comes to the verdicts.
      manager: finds the models of the process.
      state: what the gate remembers at the start.
    """

    gate: Gate
    manager: ManagerHandle
    state: GateState

    def __call__(self) -> CandidateQueue:
        """A new queue."""
        return CandidateQueue(self.gate, self.manager.get(), self.state)


@dataclass(frozen=True)
class CandidateQueueHandle(ProcessHandle[CandidateQueue]):
    """The CandidateQueue of each process of a job. Close it before the ManagerHandle."""

    def is_settled(self) -> bool:
        """See CandidateQueue: for the source of messages in the same process."""
        return self.get().is_settled()
