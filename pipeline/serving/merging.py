"""Dynamic batching across threads: calls of a model that wait for it are computed together.

Bundles of a stream are small, and batching them in the pipeline takes state, which is a shuffle.
The threads of a worker process meet at the model instead: while one call runs, others queue; the
next call takes them all. So batches grow with the load by themselves. Callers of one batch come
back one after the other; the first of them waits for the rest, for a part of a call's time, or it
would run alone and leave them to the call after. A lone caller has nobody to wait for.

Model servers call this dynamic batching (https://docs.nvidia.com/deeplearning/triton-inference-server,
Crankshaw et al., NSDI 2017); theirs usually waits a fixed time instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from pipeline.backends.base import Servable, ServableAround
from pipeline.batch import rounding
from pipeline.batch.columns import Array, Column, Ragged, concatenate, part
from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.serving.step import agreement, bisection
from pipeline.serving.step.bisection import Experience
from pipeline.serving.step.memory_limit import MemoryLimit

CallInputs = Mapping[str, Array]
CallOutputs = Mapping[str, Column]

_PAUSE = 1 / 4
"""Longest wait for the next caller, in terms of a call; waiting ends when nobody comes so long."""
_PATIENCE = 1 / 2
"""Longest wait for all of them."""
_FIRST_GUESS_SECS = 0.001


@dataclass(frozen=True)
class Occupancy:
    """The calls of a servable that merges them.

    Attributes:
      waiting: callers that queue.
      gathering: callers that lead a group and wait for others to join it.
      running: calls under way.
    """

    waiting: int
    gathering: int
    running: int


class _Call:
    """One caller's rows, and what becomes of them."""

    def __init__(self, inputs: CallInputs, rows: int, batched: Collection[str]) -> None:
        self.inputs = inputs
        self.rows = rows
        # Only arrays that differ in nothing but their rows can be computed together.
        self.form = tuple((t, inputs[t].shape[1:], inputs[t].dtype) for t in batched)
        self.leads = False
        self.outputs: CallOutputs | None = None
        self.error: Exception | None = None
        self.sleep = threading.Lock()  # its caller's; an Event would take ten times as long
        self.sleep.acquire()


class MergingServable(ServableAround):
    """A servable whose concurrent calls are merged.

    Every caller gets the outputs of its own rows, in their order, as if it were alone. Where a
    merged call fails, the calls that cause it are found as bad rows are
    (`serving.step.bisection`), so an error reaches only its caller, the others cost little more
    than a call each, and fewer are merged while many fail. A model that takes few rows, or one, is
    found out, too. Where memory does not suffice for a merged call, the next ones are smaller.

    Nobody calls while it closes: the ReleaseManager counts its users.

    The oldest call that waits leads the next group, so none is overtaken for ever.

    Args:
      servable: computes. Its outputs must not depend on which rows are computed together.
      batched: the inputs that have rows; the others are constants, the same for every caller.
      call_rows: most rows of a merged call; a caller with more is computed alone.
      concurrency: calls that run at the same time.
      only_full: another call runs beside the first only when `call_rows` wait: where it travels
        meanwhile, but computes no earlier. Fewer rows gain more by waiting for others.
      independent: a row must get the same in any company; see `independent_rows` of the file.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        servable: Servable,
        batched: Collection[str],
        call_rows: int,
        concurrency: int = 1,
        only_full: bool = False,
        independent: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(servable)
        self._clock = clock
        self._batched = tuple(batched)
        self._lock = threading.Lock()
        self._arrival = threading.Condition(self._lock)
        self._waiting: list[_Call] = []  # guarded by the lock, as are:
        self._limit = MemoryLimit(call_rows)
        self._free = concurrency
        self._gathering = 0  # leaders that have not taken their group yet
        self.concurrency = concurrency
        self._only_full = only_full
        self._independent = independent
        # Else the callers of one group come back to several.
        self._alone = concurrency == 1 or only_full
        self._expected = 1  # callers in the next group
        self._experience: list[Experience] = []  # of leaders that are done
        self._call_secs = _FIRST_GUESS_SECS

    def predict(self, inputs: CallInputs) -> CallOutputs:
        """See Servable. Blocks while as many calls run as may."""
        rows = len(inputs[self._batched[0]])
        with self._lock:
            alone = self._expected == 1 and not self._waiting and self._may_run(rows)
            if alone:
                self._free -= 1
        if alone:
            return self._predict_alone(inputs)
        call = _Call(inputs, rows, self._batched)
        with self._lock:
            self._waiting.append(call)
            self._arrival.notify()
            self._let_oldest_lead()
        self._wait(call)
        if call.leads:
            self._lead(call)
        if call.error is not None:
            raise call.error
        if call.outputs is None:  # the thread that led was interrupted
            return self._servable.predict(inputs)
        return call.outputs

    def occupancy(self) -> Occupancy:
        """Who is here now."""
        with self._lock:
            running = self.concurrency - self._free - self._gathering
            return Occupancy(len(self._waiting), self._gathering, running)

    def unmerged(self) -> Servable:
        """See Servable. Its calls run beside the merged ones."""
        return self._servable.unmerged()

    def _may_run(self, rows: int) -> bool:
        """Whether a call may begin now that has so many rows to choose from. Needs the lock."""
        if not self._free:
            return False
        if not self._only_full or self._free == self.concurrency:
            return True
        # Those that wait may be about to go with a leader that gathers its group.
        return not self._gathering and rows >= (self._limit.rows or 0)

    def _let_oldest_lead(self) -> None:
        """Lets the call that waits longest begin, if one may begin now. Needs the lock."""
        if self._waiting and self._may_run(sum(call.rows for call in self._waiting)):
            self._free -= 1
            self._gathering += 1
            leader = self._waiting.pop(0)
            leader.leads = True
            leader.sleep.release()

    def _predict_alone(self, inputs: CallInputs) -> CallOutputs:
        """Computes a call that has nobody to wait for; what a group needs would only delay it."""
        began = self._clock()
        try:
            outputs = self._servable.predict(inputs)
            self._note_secs(began)
            return outputs
        finally:
            self._hand_over()

    def _note_secs(self, began: float) -> None:
        # Doubled at most: some calls compile something, which tells nothing of the next ones.
        self._call_secs = min(self._clock() - began, 2 * self._call_secs)

    def _wait(self, call: _Call) -> None:
        """Waits until the call leads or is computed; a caller that is interrupted leaves."""
        try:
            call.sleep.acquire()
        except BaseException:
            with self._lock:
                waiting = call in self._waiting
                if waiting:
                    self._waiting.remove(call)
                if call.leads:
                    self._gathering -= 1
            if call.leads:
                self._hand_over()
            raise

    def _lead(self, call: _Call) -> None:
        """Computes a group, and lets the next one begin."""
        group = [call]
        try:
            with self._lock:
                try:
                    self._await_others()
                    group = self._group_of(call)
                finally:
                    self._gathering -= 1
                self._let_oldest_lead()
            began = self._clock()
            self._compute(group)
            self._note_secs(began)
        finally:
            self._hand_over()
            for other in group[1:]:
                other.sleep.release()

    def _await_others(self) -> None:
        """Lets as many callers come as the last group had. The lock is free meanwhile."""
        end = self._clock() + _PATIENCE * self._call_secs
        while len(self._waiting) + 1 < self._expected and self._clock() < end:
            if not self._arrival.wait(_PAUSE * self._call_secs):
                break

    def _group_of(self, leader: _Call) -> list[_Call]:
        """The leader and the waiting calls that fit to it, oldest first; they leave the queue."""
        group, rows, left = [leader], leader.rows, []
        most = self._limit.rows or 0
        for call in self._waiting:
            if call.form == leader.form and rows + call.rows <= most:
                group.append(call)
                rows += call.rows
            else:
                left.append(call)
        self._waiting = left
        if self._alone:
            self._expected = len(group)
        return group

    def _hand_over(self) -> None:
        """Lets the next group begin, if there is one."""
        with self._lock:
            self._free += 1
            self._let_oldest_lead()

    def _compute(self, group: list[_Call]) -> None:
        """Computes a group: together, and around the calls that fail."""
        # Those who run at the same time learn apart; there are as many as ever ran at once.
        with self._lock:
            experience = self._experience.pop() if self._experience else Experience()
        try:
            outcome = bisection.isolate(
                lambda places: self._compute_together([group[place] for place in places]),
                np.arange(len(group)),
                experience=experience,
                confirm=lambda places, _: self._confirm([group[place] for place in places[:2]]),
            )
        except ProcessLostError as error:  # no rows are at fault: who has no result tries again
            _tell((call for call in group if call.outputs is None), error)
            return
        finally:
            with self._lock:
                self._experience.append(experience)
        for place, failure in outcome.errors.items():
            group[place].error = failure
        if len(group) > 1 and outcome.calls == 1:
            with self._lock:
                self._limit.grow()

    def _compute_together(self, calls: list[_Call]) -> CallOutputs:
        """Hands each of some calls its outputs; returns those of the first.

        Raises:
          OutOfMemoryError: there are too many rows; the next groups have fewer.
          Exception: whatever the model raises.
        """
        if len(calls) == 1:
            calls[0].outputs = self._servable.predict(calls[0].inputs)
            return calls[0].outputs
        rows = sum(call.rows for call in calls)
        try:
            merged = {
                t: cast(Array, concatenate([call.inputs[t] for call in calls]))
                for t in self._batched
            }
            outputs = self._servable.predict({**calls[0].inputs, **merged})
        except (OutOfMemoryError, MemoryError) as error:
            with self._lock:
                self._limit.fall(rows // 2)
            raise OutOfMemoryError(str(error)) from error
        if not all(_has_rows(column, rows) for column in outputs.values()):
            raise ModelFaultError("outputs of a merged call have not its rows")
        start = 0
        for call in calls:
            stop = start + call.rows
            call.outputs = {name: part(column, start, stop) for name, column in outputs.items()}
            start = stop
        return calls[0].outputs or {}

    def _confirm(self, calls: list[_Call]) -> bool | None:
        """Whether calls have the outputs by themselves that they had among others.

        None where memory does not suffice to tell.

        Raises:
          ProcessLostError: the process that computes is gone.
        """
        if not self._independent:
            return True
        pairs = ((_dense(call.outputs or {}), partial(self._by_itself, call)) for call in calls)
        try:
            return agreement.compare_rows(pairs, rounding.HALF) is None
        except OutOfMemoryError:
            return None

    def _by_itself(self, call: _Call) -> dict[str, Array]:
        return _dense(self._servable.predict(call.inputs))


def _dense(outputs: Mapping[str, Column]) -> dict[str, Array]:
    return {name: column for name, column in outputs.items() if isinstance(column, np.ndarray)}


def _has_rows(column: Column, rows: int) -> bool:
    return (isinstance(column, Ragged) or column.ndim > 0) and len(column) == rows


def _tell(calls: Iterable[_Call], error: Exception) -> None:
    for call in calls:
        call.error = error
