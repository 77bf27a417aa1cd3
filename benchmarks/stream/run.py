"""A stream at one rate: whether it keeps up, how long a record takes, who uses the processors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.stream.job import Job, JobError
from benchmarks.stream.load import Order, Publisher, Receiver
from pipeline.jobs.progress import percentiles

_LOOK_SECS = 0.25
_DRAIN_SECS = 120.0
_LEAD_SECS = 0.2
_KEPT_UP = 0.98
_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Step:
    """What was seen at one rate, the first seconds apart.

    Attributes:
      rate: records/s that were due.
      published: records/s that Pub/Sub took.
      predicted: records/s that came back with a prediction.
      backlog: records published whose prediction was not received, in the last third of the time.
      growth: records/s by which that had grown since the first third.
      p50_secs, p99_secs: from when a record was due to its prediction being received; a record is
        due when it should be handed to the publisher, which sends every 10 ms.
      job_cores: processor time a second of main.py.
      load_cores: the same of publisher and receiver.
      all_cores: the same of the whole machine; the emulator has most of the rest.
    """

    rate: float
    published: float
    predicted: float
    backlog: float
    growth: float
    p50_secs: float
    p99_secs: float
    job_cores: float
    load_cores: float
    all_cores: float

    @property
    def was_published(self) -> bool:
        """Whether the records came at that rate at all."""
        return self.published >= _KEPT_UP * self.rate

    @property
    def is_sustained(self) -> bool:
        """Whether that rate could go on.

        It was published, the backlog grew by less than 2 % of it, and was below a second's worth.
        """
        kept_up = self.growth <= (1 - _KEPT_UP) * self.rate
        return self.was_published and kept_up and self.backlog <= self.rate


class Bench:
    """Runs steps one after the other through a job.

    Args:
      job: under test.
      publisher: feeds it.
      receiver: takes what it makes.
      settle_secs: the first seconds of a step, not looked at.
      secs: how long a step is looked at then.
    """

    def __init__(
        self,
        job: Job,
        publisher: Publisher,
        receiver: Receiver,
        settle_secs: float,
        secs: float,
    ) -> None:
        self._settle_secs = settle_secs
        self._secs = secs
        self._job = job
        self._publisher = publisher
        self._receiver = receiver

    def step(self, rate: float) -> Step:
        """Publishes at `rate`, looks at it, waits until the backlog is gone.

        Raises:
          JobError: the job ended, or a record has no prediction long afterwards.
        """
        publisher, receiver = self._publisher, self._receiver
        settle_secs, secs = self._settle_secs, self._secs
        order = Order(publisher.published, rate, settle_secs + secs, time.monotonic() + _LEAD_SECS)
        publisher.begin(order)
        self._sleep_until(order.start + settle_secs)
        cpu = self._cpu_secs()
        samples = []
        while (now := time.monotonic()) < order.start + order.secs:
            samples.append((now, publisher.published, receiver.received))
            self._sleep_until(now + _LOOK_SECS)
        cores = [
            (after - before) / secs for before, after in zip(cpu, self._cpu_secs(), strict=True)
        ]
        publisher.finish(_DRAIN_SECS)
        self._wait_for(lambda: receiver.received == publisher.published)
        published, predicted = (
            (samples[-1][i] - samples[0][i]) / (samples[-1][0] - samples[0][0]) for i in (1, 2)
        )
        p50, p99 = percentiles(receiver.take_latencies(order, settle_secs).tolist(), (0.5, 0.99))
        return Step(rate, published, predicted, *backlog_of(samples), p50, p99, *cores)

    def _sleep_until(self, at: float) -> None:
        self._job.check()
        time.sleep(max(0.0, at - time.monotonic()))

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + _DRAIN_SECS
        while not condition():
            if time.monotonic() > give_up_at:
                raise JobError(
                    f"{self._receiver.received:,} of {self._publisher.published:,} records have a "
                    f"prediction {_DRAIN_SECS:.0f} s after the last was published"
                )
            self._sleep_until(time.monotonic() + _LOOK_SECS)

    def _cpu_secs(self) -> tuple[float, float, float]:
        """Processor time so far: of the job, of publisher and receiver, of the machine."""
        load = _process_secs(os.getpid()) + _process_secs(self._publisher.pid)
        return _process_secs(self._job.pid), load, _machine_secs()


def backlog_of(samples: list[tuple[float, int, int]]) -> tuple[float, float]:
    """The mean backlog of the last third of the samples, and its growth a second until then.

    Args:
      samples: time, records published, records predicted; ascending.
    """
    third = max(1, len(samples) // 3)
    (begin, before), (end, after) = (
        (mean(s[0] for s in some), mean(s[1] - s[2] for s in some))
        for some in (samples[:third], samples[-third:])
    )
    return after, (after - before) / (end - begin)


def _process_secs(pid: int) -> float:
    # See proc(5). The name, in parentheses, may hold anything, so fields count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SEC


def _machine_secs() -> float:
    user, nice, system, _idle, _iowait, *interrupts = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / _TICKS_PER_SEC
