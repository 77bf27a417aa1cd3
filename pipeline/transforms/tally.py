"""How many records this process has finished, for whoever watches it from another thread."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.report.statistics.served import EARLIER, MOST_RELEASES
from pipeline.serving.process_handle import process_object

_RECENT = 20_000


@dataclass(frozen=True)
class Count:
    """Records finished so far.

    Attributes:
      predictions, dead_letters: records of each kind.
      by_generation: generation of the release -> predictions it made; of the last releases, and
        EARLIER -> those of all before.
      recent_latencies_ms: of the last records that have an event time: from then until now.
    """

    predictions: int = 0
    dead_letters: int = 0
    by_generation: Mapping[int, int] = field(default_factory=dict)
    recent_latencies_ms: Sequence[float] = ()

    @property
    def records(self) -> int:
        """Both kinds together."""
        return self.predictions + self.dead_letters


class Tally:
    """A running count. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._predictions = 0
        self._dead_letters = 0
        self._by_generation: Counter[int] = Counter()
        self._oldest = 0  # generations before this one are counted as EARLIER
        self._latencies_ms: deque[float] = deque(maxlen=_RECENT)

    def add(
        self,
        predictions: int,
        dead_letters: int,
        generation: int,
        latencies_ms: Sequence[float] = (),
    ) -> None:
        """Counts more finished records, of one batch."""
        with self._lock:
            self._predictions += predictions
            self._dead_letters += dead_letters
            if predictions:
                self._count(generation, predictions)
            self._latencies_ms.extend(latencies_ms)

    def refuse(self, generation: int) -> None:
        """Makes a dead letter of one prediction, which a sink refused."""
        with self._lock:
            self._predictions -= 1
            self._dead_letters += 1
            self._count(generation, -1)

    def records(self) -> int:
        """Records finished so far, of both kinds."""
        with self._lock:
            return self._predictions + self._dead_letters

    def read(self) -> Count:
        """The count now; the latencies since the last call."""
        with self._lock:
            latencies = tuple(self._latencies_ms)
            self._latencies_ms.clear()
            return Count(
                self._predictions, self._dead_letters, dict(self._by_generation), latencies
            )

    def _count(self, generation: int, predictions: int) -> None:
        self._by_generation[generation if generation >= self._oldest else EARLIER] += predictions
        if len(self._by_generation) <= MOST_RELEASES:
            return
        known = self._by_generation.keys() - {EARLIER}
        if len(known) > MOST_RELEASES:
            oldest = min(known)
            self._by_generation[EARLIER] += self._by_generation.pop(oldest)
            self._oldest = oldest + 1


def process_tally(job_key: str) -> Tally:
    """The tally of one job in this process. Bundles that Beam retries count again."""
    return process_object(Tally, job_key, Tally)
