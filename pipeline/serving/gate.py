"""The gate of one process: candidates are judged in a thread of its own, one at a time.

Bundles only hand in candidates and pick up what became of them. A release that passes is aspired to
by the same process's ReleaseManager, where its models are loaded already.

What is *not* guaranteed: candidates that wait when the process ends are lost. In watch mode the
next process finds the newest version again; a message of event mode is not delivered once more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.candidate import Candidate, ReleaseEvent
from pipeline.core.gate_plan import next_to_judge
from pipeline.core.gate_state import GateState
from pipeline.serving.judge import Judge, Verdict
from pipeline.serving.process_handle import ProcessHandle
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager

_LOGGER = logging.getLogger(__name__)

RETRY_SECS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between attempts to judge a candidate while the storage cannot be read."""


@dataclass(eq=False)
class _Waiting:
    """A candidate in the queue.

    Attributes:
      candidate: which.
      spelled_out: the same with what its manifest says; None before that was looked at.
      attempts: how often it was judged without result.
      due: not before this time of the gate's clock.
    """

    candidate: Candidate
    spelled_out: Candidate | None = None
    attempts: int = 0
    due: float = float("-inf")


class Gate:
    """Judges candidates in the background. Every method may be called from any thread.

    Args:
      judge: comes to the verdicts.
      manager: the models of this process.
      state: what is remembered at the start.
      retry_secs: see RETRY_SECS.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        judge: Judge,
        manager: ReleaseManager,
        state: GateState,
        *,
        retry_secs: tuple[float, ...] = RETRY_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._judge = judge
        self._manager = manager
        self._state = state
        self._retry_secs = retry_secs
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._judging = False
        self._events: list[ReleaseEvent] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def state(self) -> GateState:
        """What is remembered now."""
        return self._state

    def propose(self, candidate: Candidate) -> None:
        """Hands in a candidate; returns at once. A closed gate drops it."""
        with self._changed:
            if self._closed:
                return
            self._waiting.append(_Waiting(candidate))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain_events(self) -> list[ReleaseEvent]:
        """The verdicts since the last call, in order."""
        with self._changed:
            drained, self._events = self._events, []
            return drained

    def wait_idle(self, timeout_secs: float | None = None) -> bool:
        """Waits until every candidate was judged; False when the time was up before."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or not (self._waiting or self._judging), timeout_secs
            )

    def close(self) -> None:
        """Ends the thread, after the candidate that it judges just now; the others are dropped."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    # --- the thread that judges

    def _run(self) -> None:
        while (one := self._next()) is not None:
            verdict = self._judge(
                self._state, one.candidate, self._manager, activate=self._manager.aspire
            )
            with self._changed:
                self._judging = False
                if not verdict.again or not self._postponed(one, verdict):
                    self._state = verdict.state
                    self._events.append(verdict.event)
                self._changed.notify_all()

    def _next(self) -> _Waiting | None:
        """Waits for a candidate that is due; None when closed."""
        while due := self._wait_until_due():
            for one in due:
                if one.spelled_out is None:
                    one.spelled_out = self._judge.spelled_out(one.candidate)
            spelled_out = [one.spelled_out or one.candidate for one in due]
            chosen = due[next_to_judge(spelled_out, self._state.rules)]
            with self._changed:
                if not self._closed:
                    self._waiting.remove(chosen)
                    self._judging = True
                    return chosen
        return None

    def _wait_until_due(self) -> list[_Waiting]:
        """The candidates that are due, in the order of arrival; none when closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                if due := [one for one in self._waiting if one.due <= now]:
                    return due
                pause = min((one.due for one in self._waiting), default=float("inf")) - now
                self._changed.wait(None if pause == float("inf") else pause)
            return []

    def _postponed(self, one: _Waiting, verdict: Verdict) -> bool:
        """Puts a candidate back, if it may be judged once more."""
        if self._closed or one.attempts == len(self._retry_secs):
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
        self._waiting.append(one)
        return True


@dataclass(frozen=True)
class GateFactory:
    """How a process makes its gate: everything it needs, in one value to pickle.

    Attributes:
      judge: comes to the verdicts.
      manager: finds the models of the process.
      state: what is remembered at the start.
    """

    judge: Judge
    manager: ManagerHandle
    state: GateState

    def __call__(self) -> Gate:
        """A new gate."""
        return Gate(self.judge, self.manager.get(), self.state)


@dataclass(frozen=True)
class GateHandle(ProcessHandle[Gate]):
    """The Gate of each process of a job. To be closed before the ManagerHandle."""
