"""The bounds of a run, in minutes and in dollars. All waiting is done here, within them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from cloud.cost import job_usd
from cloud.dataflow import FAILED, TERMINAL, Dataflow
from cloud.rest import ApiError


class RunError(Exception):
    """The run cannot go on; the message says why."""


class BoundError(RunError):
    """A bound was reached."""


class OverdueError(RunError):
    """What was waited for did not come in its time."""


@dataclass
class Watched:
    """A job of the run.

    Attributes:
      kind: "batch" or "stream".
      name: of the job.
      ends: the states in which it may end now; any other end is the end of the run.
      usd: what it had cost when its metrics were last known.
    """

    kind: str
    name: str
    ends: set[str]
    usd: float = 0.0


@dataclass
class Bounds:
    """Waits, and looks meanwhile at the clock, the cost and the jobs.

    Attributes:
      dataflow: the jobs.
      max_minutes: of the run.
      max_usd: of all jobs together.
      poll_secs: time between looks.
      is_dry: whether to look once and go on.
      clock: seconds. Those of the wall: others stand still while a laptop sleeps.
      sleep: waits so many seconds.
      jobs: by id.
    """

    dataflow: Dataflow
    max_minutes: float
    max_usd: float
    poll_secs: float
    is_dry: bool
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    jobs: dict[str, Watched] = field(default_factory=dict)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def wait(self, what: str, is_there: Callable[[], bool], most_secs: float = 0.0) -> float:
        """Waits until it is there; how long that took, in seconds.

        Args:
          what: what is waited for, for messages.
          is_there: asked again and again.
          most_secs: after which it is overdue; 0 for the bound of the run alone.

        Raises:
          OverdueError: it is.
          BoundError: the run is too long or too expensive.
          RunError: a job failed, or ended as nobody expects.
        """
        began = self.clock()
        while not is_there() and not self.is_dry:
            waited = self.clock() - began
            if most_secs and waited > most_secs:
                raise OverdueError(f"{what}: not in {most_secs:.0f} s")
            self.check(what)
            self.sleep(self.poll_secs)
        return self.clock() - began

    def check(self, what: str) -> None:
        """Raises what `wait` raises for the run."""
        if self.clock() - self._began > self.max_minutes * 60:
            raise BoundError(f"--max_minutes={self.max_minutes:g} are over, waiting for {what}")
        for job_id, job in self.jobs.items():
            state = self.dataflow.state(job_id).name
            if state in TERMINAL - job.ends:
                end = "failed" if state == FAILED else f"ended as {state}, which is not expected"
                raise RunError(
                    f"job {job.name} ({job_id}) {end}: {self.dataflow.last_words(job_id)}"
                )
        if (usd := self.usd()) > self.max_usd:
            raise BoundError(f"--max_usd={self.max_usd:g} is used up ({usd:.2f}), at: {what}")

    def usd(self) -> float:
        """What the jobs have cost, by their metrics. Those that cannot be had now come later."""
        for job_id, job in self.jobs.items():
            with suppress(ApiError):
                job.usd = job_usd(job.kind, self.dataflow.metrics(job_id))
        return sum(job.usd for job in self.jobs.values())
