"""How many records this process has finished, for whoever watches it from another thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Count:
    """Records finished so far."""

    predictions: int = 0
    dead_letters: int = 0

    @property
    def records(self) -> int:
        """Both together."""
        return self.predictions + self.dead_letters


class Tally:
    """A running count. Both methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = Count()

    def add(self, *, predictions: int, dead_letters: int) -> None:
        """Counts more finished records."""
        with self._lock:
            self._count = Count(
                self._count.predictions + predictions, self._count.dead_letters + dead_letters
            )

    def read(self) -> Count:
        """The count now."""
        return self._count


_tallies: dict[str, Tally] = {}
_tallies_lock = threading.Lock()


def process_tally(job_key: str) -> Tally:
    """The tally of one job in this process. Bundles that Beam retries count again."""
    with _tallies_lock:
        return _tallies.setdefault(job_key, Tally())
