"""Whether calls of a size are faster with all granted threads or with one.

Handing parts of a call to other threads and waiting for them takes tens of microseconds for each
layer. In a network whose layers take no longer than that, it costs several times what it gains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

_TRIES = 5
_LONG_SECS = 0.005
_CALLS_UNTIL_RETRIED = 4096


@dataclass
class _Trial:
    """What is known of calls of one size.

    Attributes:
      secs: threads -> how long calls with so many took.
      calls: since the trial began.
    """

    secs: dict[int, list[float]] = field(default_factory=dict)
    calls: int = 0


class ThreadChoice:
    """Finds out by trying, for each power of two of rows, and again after some thousand calls.

    A call of 5 ms or more always gets all threads: trying one thread would cost too much. May be
    used by several threads; calls that overlap disturb a trial, and the next one repairs it.

    Args:
      granted: the most threads.
      clock: seconds.
    """

    def __init__(self, granted: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._granted = granted
        self._clock = clock
        self._trials: dict[int, _Trial] = {}

    @contextmanager
    def for_call(self, rows: int) -> Iterator[int]:
        """Wraps a call of so many rows; yields the number of threads that it should use."""
        if self._granted == 1:
            yield 1
            return
        trial = self._trials.setdefault(rows.bit_length(), _Trial())
        threads = self._threads(trial)
        began = self._clock()
        yield threads
        secs = trial.secs.setdefault(threads, [])
        if len(secs) < _TRIES:
            secs.append(self._clock() - began)
        trial.calls += 1
        if trial.calls >= _CALLS_UNTIL_RETRIED:
            self._trials[rows.bit_length()] = _Trial()

    def _threads(self, trial: _Trial) -> int:
        all_of_them, alone = trial.secs.get(self._granted, []), trial.secs.get(1, [])
        # The median: the first call prepares something, and others may be disturbed.
        if len(all_of_them) < _TRIES or median(all_of_them) >= _LONG_SECS:
            return self._granted
        if len(alone) < _TRIES or median(alone) < median(all_of_them):
            return 1
        return self._granted
