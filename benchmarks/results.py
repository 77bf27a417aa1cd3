"""From runs to figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from contenders import Contender
from measure import Run


@dataclass
class Result:
    """All runs of one contender.

    What a process does once (imports, loading models, building the graph) costs the same whatever
    the number of records, so the difference of two sizes is free of it: the rate is the slope
    between them, and the start-up is what the slope leaves of the shorter one.

    Attributes:
      contender: who ran.
      sizes: numbers of records, ascending; a single one has no slope.
      runs: for each size its runs, in the order in which they ran.
    """

    contender: Contender
    sizes: Sequence[int]
    runs: dict[int, list[Run]] = field(default_factory=dict)

    def add(self, size: int, run: Run) -> None:
        self.runs.setdefault(size, []).append(run)

    def secs(self, size: int) -> float:
        """Median time of the runs of one size."""
        return median(run.secs for run in self.runs[size])

    @property
    def rate(self) -> float | None:
        """Records a second, start-up apart; None where the runs do not tell."""
        return self._slope([self.secs(size) for size in self.sizes])

    @property
    def rates(self) -> list[float]:
        """The rate as each repeat alone would give it, ascending."""
        repeats = zip(*([run.secs for run in self.runs[size]] for size in self.sizes), strict=True)
        return sorted(rate for secs in repeats if (rate := self._slope(secs)) is not None)

    @property
    def start_up_secs(self) -> float | None:
        """What a run takes beside its records; None where the runs do not tell."""
        rate = self.rate
        return None if rate is None else self.secs(self.sizes[0]) - self.sizes[0] / rate

    @property
    def peak_bytes(self) -> int:
        """Median peak memory of the longest runs."""
        return int(median(run.peak_bytes for run in self.runs[self.sizes[-1]]))

    def _slope(self, secs: Sequence[float]) -> float | None:
        if len(self.sizes) < 2 or secs[-1] <= secs[0]:
            return None
        return (self.sizes[-1] - self.sizes[0]) / (secs[-1] - secs[0])
