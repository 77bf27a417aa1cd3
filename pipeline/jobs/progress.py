"""What a person sees while something runs: lines with the time, and one that is rewritten."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from pipeline.batch.release import Release
from pipeline.readable import readable
from pipeline.serving.release_manager import ReleaseManager
from pipeline.transforms.tally import Count, Tally


class Progress:
    """Lines about work under way; on a terminal the status rewrites its own line.

    Args:
      stream: where to write.
      interval_secs: between two statuses; by default 0.5 s on a terminal, 10 s in a log.
    """

    def __init__(self, stream: TextIO | None = None, interval_secs: float | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self.interval_secs = interval_secs or (0.5 if self._terminal else 10.0)
        self._started = time.monotonic()
        self._rewriting = False
        self._lock = threading.Lock()

    @property
    def elapsed_secs(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._started

    def say(self, message: str) -> None:
        """One line, with the seconds since the start; made readable."""
        with self._lock:
            self._end_line()
            print(self._stamped(message), file=self._stream, flush=True)

    def status(self, message: str) -> None:
        """How far it is: rewrites the line of the last status on a terminal."""
        if not self._terminal:
            return self.say(message)
        with self._lock:
            print(f"\r{self._stamped(message):<100}", end="", file=self._stream, flush=True)
            self._rewriting = True
        return None

    def end_status(self) -> None:
        """Leaves the last status on its line."""
        with self._lock:
            self._end_line()

    @contextmanager
    def showing(self, status: Callable[[], str]) -> Iterator[None]:
        """Shows a status now and then while the ``with`` block runs."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(self.interval_secs):
                self.status(status())

        thread = threading.Thread(target=run, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.end_status()

    def _stamped(self, message: str) -> str:
        return f"[{self.elapsed_secs:6.1f} s] {readable(message)}"

    def _end_line(self) -> None:
        if self._rewriting:
            print(file=self._stream)
            self._rewriting = False


class BatchStatus:
    """How many records, and how fast since the last call."""

    def __init__(self, tally: Tally, clock: Callable[[], float] = time.monotonic) -> None:
        self._tally = tally
        self._clock = clock
        self._last, self._at = Count(), clock()

    def __call__(self) -> str:
        """The status as text."""
        count, rate = self.read()
        if not count.records:  # also where the work is done by other processes
            return "running"
        return f"{count.records:,} records, {rate:,.0f}/s, {count.dead_letters:,} dead letters"

    def read(self) -> tuple[Count, float]:
        """The count, and records a second since the last call."""
        count, now = self._tally.read(), self._clock()
        rate = (count.records - self._last.records) / max(now - self._at, 1e-9)
        self._last, self._at = count, now
        return count, rate


class StreamStatus:
    """Throughput, latency, dead letters, the release that serves, and since when."""

    def __init__(
        self,
        tally: Tally,
        manager: ReleaseManager,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counting = BatchStatus(tally, clock)
        self._manager = manager
        self._clock = clock
        self._active: Release | None = None
        self._since: float | None = None

    def __call__(self) -> str:
        """The status as text."""
        count, rate = self._counting.read()
        active = self._manager.active()
        if active != self._active:
            # The first release is no swap.
            self._since = None if self._active is None else self._clock()
            self._active = active
        parts = [f"{rate:,.0f}/s", f"{count.records:,} records"]
        if count.recent_latencies_ms:
            p50, p99 = percentiles(count.recent_latencies_ms, (0.5, 0.99))
            parts.append(f"latency p50 {p50:,.0f} ms p99 {p99:,.0f} ms")
        parts.append(f"{count.dead_letters:,} dead letters")
        parts.append(f"release {active.generation}" if active else "no release yet")
        if self._since is not None:
            parts.append(f"swapped {self._clock() - self._since:.0f} s ago")
        return ", ".join(parts)


def percentiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """The nearest-rank percentiles of some values, at least one.

    Args:
      values: in any order.
      shares: 0.5 is the median.
    """
    ordered = sorted(values)
    return [ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in shares]
