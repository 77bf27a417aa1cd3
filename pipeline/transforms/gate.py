"""The gate as a step: candidates in, release events out; releases are in the log."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.gate import Gate, Verdict, utc_now
from pipeline.releases.queue import CandidateQueueHandle
from pipeline.releases.state import HANDLED, GateState
from pipeline.runner.beam_types import DoFn
from pipeline.serving.activation import RETRY_SECS, Activation
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager

EVENTS = "release_events"
"""Output of each step that has ReleaseEvents."""


@beam.typehints.with_output_types(ReleaseEvent)
class LocalGate(DoFn):
    """Hands candidates to the gate of this process, and picks up events of gate and models.

    For runners whose steps all run in this process. Never waits: what became of a candidate comes
    out with a later element, so there must be ticks besides the candidates. Anything that is no
    Candidate is a tick.

    Args:
      queue: the candidates of this process.
      manager: this process's models.
    """

    def __init__(self, queue: CandidateQueueHandle, manager: ManagerHandle) -> None:
        self._queue_handle = queue
        self._manager_handle = manager

    def setup(self) -> None:
        """Finds the queue and the models of the process."""
        self._queue = self._queue_handle.get()
        self._manager = self._manager_handle.get()

    def process(self, element: object) -> Iterator[ReleaseEvent]:
        """Takes a candidate or a tick."""
        if isinstance(element, Candidate):
            self._queue.propose(element)
        yield from self._queue.drain_events()
        yield from activation_events(self._manager)


@beam.typehints.with_input_types(tuple[str, Candidate])
@beam.typehints.with_output_types(ReleaseEvent)
class KeyedGate(DoFn):
    """Judges candidates of one key, inside the bundle: for services, where any process may do so.

    The key makes it serial. Nothing is kept in its state: what a gate has to remember is in the
    release log. The models are loaded apart from those that serve in this process, and freed after
    each verdict.

    Args:
      gate: comes to the verdicts.
      managers: makes the ReleaseManager in which a release is tried.
      initial: what is remembered at the start of the job.
      retry_secs: pauses between attempts while a storage cannot be used. A candidate that was
        given up after them rests for as long again, so that others have their turn.
      wait: spends so many seconds.
      clock: the time in seconds, monotonic.
    """

    STATE = ReadModifyWriteStateSpec("gate", BytesCoder())
    """Without a state, a service would spread the elements of a key."""

    def __init__(
        self,
        gate: Gate,
        managers: Callable[[], ReleaseManager],
        initial: GateState,
        *,
        retry_secs: tuple[float, ...] = RETRY_SECS,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._managers = managers
        self._state = initial
        self._retry_secs = retry_secs
        self._wait = wait
        self._clock = clock
        self._told: tuple[str, ...] = ()
        self._resting: dict[str, float] = {}

    def process(
        self,
        element: tuple[str, Candidate],
        _state: Any = DoFn.StateParam(STATE),  # noqa: B008  # how Beam asks for it
    ) -> Iterator[ReleaseEvent]:
        """Judges one candidate."""
        candidate = element[1]
        now = self._clock()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        if candidate.candidate_id in self._resting:
            return  # one of the copies that came while it was at the gate
        verdict = self._verdict(self._state, candidate)
        self._state = verdict.state
        if verdict.again:
            self._resting[candidate.candidate_id] = self._clock() + sum(self._retry_secs)
        # A candidate is offered until it has its verdict, so copies may wait here. Where a bundle
        # is lost, so is this object, and the next one tells the verdict.
        if verdict.recorded and candidate.candidate_id in self._told:
            return
        self._told = (*self._told, candidate.candidate_id)[-HANDLED:]
        yield verdict.event

    def _verdict(self, state: GateState, candidate: Candidate) -> Verdict:
        manager = self._managers()
        try:
            for pause in self._retry_secs:
                verdict = self._gate(state, candidate, manager)
                if not verdict.again:
                    return verdict
                self._wait(pause)
            return self._gate.give_up(self._gate(state, candidate, manager))
        finally:
            manager.close()


def activation_events(
    manager: ReleaseManager, now: Callable[[], datetime] = utc_now
) -> list[ReleaseEvent]:
    """What this process made of releases since the last call, in order: "activated" or "failed"."""
    return [_activation_event(activation, now()) for activation in manager.drain_activations()]


def _activation_event(activation: Activation, now: datetime) -> ReleaseEvent:
    error = activation.error
    details = {
        "process": f"{socket.gethostname()}/{os.getpid()}",
        "attempt": activation.attempt,
        "prepare_secs": round(activation.prepare_secs, 3),
        "load_secs": {model: round(secs, 3) for model, secs in activation.load_secs.items()},
    }
    if error is None:
        return ReleaseEvent("activated", now, release=activation.release, details=details)
    return ReleaseEvent(
        "failed",
        now,
        release=activation.release,
        reason=" ".join(f"{type(error).__name__}: {error}".split()),
        details={**details, "final": activation.final},
    )
