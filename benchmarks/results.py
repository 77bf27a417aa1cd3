"""From runs to figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from contenders import Contender
from measure import Run

# The first tenth is not everybody's: a second worker may begin later. The last one is not either.
_FROM, _TO = 0.1, 0.9


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
    (_, total) = run.growth[-1] if run.growth else (0.0, 0)
    begin, end = (_reached(run.growth, share * total) for share in (_FROM, _TO))
    if end <= begin:
        return Timed(None, None)
    rate = (_TO - _FROM) * records / (end - begin)
    return Timed(rate, max(0.0, run.secs - records / rate))


def by_jobs(run: Run, job_secs: Sequence[float], small: int, records: int) -> Timed:
    """The slope between a small job and the large one after it; the job before has warmed up."""
    *_, small_secs, secs = job_secs
    if secs <= small_secs:
        return Timed(None, None)
    rate = (records - small) / (secs - small_secs)
    return Timed(rate, max(0.0, run.secs - (records + 2 * small) / rate))


def _reached(growth: Sequence[tuple[float, int]], size: float) -> float:
    """When the output had a size; between two looks it grows evenly."""
    before_secs, before = 0.0, 0
    for secs, found in growth:
        if found >= size:
            share = (size - before) / (found - before) if found > before else 0.0
            return before_secs + share * (secs - before_secs)
        before_secs, before = secs, found
    return before_secs


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
