"""From runs to figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from statistics import median

from benchmarks.batch.contenders import Contender
from benchmarks.support.measure import Run

# The first tenth is not everybody's: a second worker may begin later. The last one is not either.
_FROM, _TO = 0.1, 0.9
_FEWEST_LOOKS = 5


@dataclass(frozen=True)
class Timed:
    """What one run tells.

    Attributes:
      rate: records a second, start-up apart; None where the run does not tell.
      start_up_secs: what it took beside its records; None where the run does not tell.
    """

    rate: float | None
    start_up_secs: float | None


def by_growth(run: Run, records: int) -> Timed:
    """The rate at which the output grew, from a tenth of it to nine tenths."""
    total = run.growth[-1][1] if run.growth else 0
    growth = takewhile(lambda look: look[1] <= _TO * total, run.growth)
    between = list(dropwhile(lambda look: look[1] < _FROM * total, growth))
    if len({size for _, size in between}) < _FEWEST_LOOKS:
        return Timed(None, None)
    (begin_secs, begin), (end_secs, end) = _first_of(between, 0), _first_of(between, -1)
    rate = (end - begin) / total * records / (end_secs - begin_secs)
    return Timed(rate, max(0.0, run.secs - records / rate))


def by_jobs(run: Run, job_secs: Sequence[float], small: int, records: int) -> Timed:
    """The slope between a small job and the large one after it; the job before has warmed up."""
    first_secs, small_secs, secs = job_secs
    if secs <= small_secs:
        return Timed(None, None)
    rate = (records - small) / (secs - small_secs)
    before_secs = run.secs - sum(job_secs)
    return Timed(rate, max(0.0, before_secs + first_secs - small / rate))


def _first_of(growth: Sequence[tuple[float, int]], position: int) -> tuple[float, int]:
    """The first look that saw the size of the look at a position: output may grow in steps."""
    size = growth[position][1]
    return next(look for look in growth if look[1] == size)


@dataclass
class Result:
    """All runs of one contender.

    Attributes:
      contender: who ran.
      records: of each run.
      runs: in the order in which they ran.
      timed: what each of them tells.
    """

    contender: Contender
    records: int
    runs: list[Run] = field(default_factory=list)
    timed: list[Timed] = field(default_factory=list)

    def add(self, run: Run, timed: Timed) -> None:
        self.runs.append(run)
        self.timed.append(timed)

    @property
    def rates(self) -> list[float]:
        """Records a second of each run, start-up apart, ascending."""
        return sorted(timed.rate for timed in self.timed if timed.rate is not None)

    @property
    def rate(self) -> float | None:
        """Their median; None where the runs do not tell."""
        return median(self.rates) if self.rates else None

    @property
    def start_up_secs(self) -> float | None:
        """What a run takes beside its records; None where the runs do not tell."""
        known = [t.start_up_secs for t in self.timed if t.start_up_secs is not None]
        return median(known) if known else None

    @property
    def peak_bytes(self) -> int:
        """Median peak memory."""
        return int(median(run.peak_bytes for run in self.runs))
