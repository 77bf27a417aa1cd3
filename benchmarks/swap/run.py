"""Four threads that keep running batches while a version arrives; what they noticed of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.swap.contenders import ROWS, Answer, Contender, RunBatch, X
from pipeline.jobs.progress import percentiles

THREADS = 4
_WARM_UP_SECS = 1.0
_GIVE_UP_SECS = 60.0
_LOOK_SECS = 0.02
_TOLERANCE = 1e-5

Array = np.ndarray[Any, Any]


class WrongError(Exception):
    """A batch came out otherwise than it should have; the message says how."""


@dataclass
class Finished:
    """The batches that a thread has finished. Plain lists: they are no work for Python's collector.

    Attributes:
      at: when, ascending.
      version: which version computed it.
    """

    at: list[float] = field(default_factory=list)
    version: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Swap:
    """One swap. A gap is the time between one finished batch and the next.

    Attributes:
      load_secs: how long the load of the new version took.
      swap_secs: from announcing it until every thread had finished a batch with it.
      steady: gaps outside the swap, of all threads together, in seconds.
      during: gaps that ended during the swap, of all threads together.
      longest_by_thread: the longest gap during the swap, by thread.
      batches: how many batches finished.
      batches_per_sec: how many a second outside the swap.
    """

    load_secs: float
    swap_secs: float
    steady: tuple[float, ...]
    during: tuple[float, ...]
    longest_by_thread: tuple[float, ...]
    batches: int
    batches_per_sec: float

    @property
    def longest(self) -> float:
        """The longest gap during the swap, of all threads together."""
        return max(self.during)

    @property
    def steady_p99(self) -> float:
        return percentiles(self.steady, [0.99])[0]

    @property
    def during_p99(self) -> float:
        return percentiles(self.during, [0.99])[0]


class Threads:
    """The threads; each starts with the ``with`` block and ends with it.

    Args:
      contender: what they run batches through.
      expected: what the first row of a batch gives, for versions 1 and 2.
    """

    def __init__(self, contender: Contender, expected: Sequence[Array]) -> None:
        self.finished = [Finished() for _ in range(THREADS)]
        self._contender = contender
        self._expected = expected
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS)

    def __enter__(self) -> Threads:
        self._futures = [self._pool.submit(self._run, each) for each in self.finished]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def wait_until_all_run(self, version: int) -> None:
        """Waits until every thread has finished a batch with `version`.

        Raises:
          Exception: a thread failed, or it takes too long.
        """
        give_up_at = time.monotonic() + _GIVE_UP_SECS
        while not all(each.version[-1:] == [version] for each in self.finished):
            for future in self._futures:
                if future.done():
                    future.result()
            if time.monotonic() > give_up_at:
                raise WrongError(f"version {version} does not serve after {_GIVE_UP_SECS:.0f} s")
            time.sleep(_LOOK_SECS)

    def end(self) -> None:
        """Ends them.

        Raises:
          Exception: a thread failed.
        """
        self._stop.set()
        for future in self._futures:
            future.result()

    def _run(self, finished: Finished) -> None:
        run_batch: RunBatch = self._contender.worker()
        while not self._stop.is_set():
            answer = run_batch()
            finished.at.append(time.monotonic())
            finished.version.append(self._version(answer))

    def _version(self, answer: Answer) -> int:
        """The version that computed it, by what it computed."""
        if answer.rows != ROWS:
            raise WrongError(f"a batch of {ROWS} rows came out with {answer.rows}")
        for version, row in enumerate(self._expected, start=1):
            if np.abs(answer.first - row).max() < _TOLERANCE:
                if answer.label not in (None, version):
                    raise WrongError(f"computed by version {version}, labelled {answer.label}")
                return version
        raise WrongError(f"neither version computes {answer.first}")


def expected(paths: Sequence[Path]) -> list[Array]:
    """For each version, what it gives for the first row: by ONNX Runtime alone."""
    import onnxruntime

    return [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": X})[
            0
        ][0]
        for path in paths
    ]


def swap(contender: Contender, answers: Sequence[Array], steady_secs: float) -> Swap:
    """Runs one swap: steady, announced, all threads on the new version, steady again.

    Args:
      contender: fresh; closed at the end.
      answers: see `expected`.
      steady_secs: how long it runs before, and again half of it after.

    Raises:
      WrongError: a row is missing, or a batch came out with neither version's answer, or labelled
        as the other's.
    """
    try:
        with Threads(contender, answers) as threads:
            threads.wait_until_all_run(1)
            time.sleep(min(_WARM_UP_SECS, steady_secs))
            started = time.monotonic()
            time.sleep(steady_secs)
            announced = time.monotonic()
            contender.announce()
            threads.wait_until_all_run(2)
            time.sleep(steady_secs / 2)
            threads.end()
        return observe(threads.finished, started, announced, contender.load_secs())
    finally:
        contender.close()


def observe(
    finished: Sequence[Finished], started: float, announced: float, load_secs: float
) -> Swap:
    swapped = max(each.at[each.version.index(2)] for each in finished)
    ends = sorted(at for each in finished for at in each.at if at >= started)
    steady, during = _gaps(ends, announced, swapped)
    outside_secs = ends[-1] - started - (swapped - announced)
    by_thread = [_gaps(each.at, announced, swapped)[1] for each in finished]
    return Swap(
        load_secs=load_secs,
        swap_secs=swapped - announced,
        steady=tuple(steady),
        during=tuple(during),
        longest_by_thread=tuple(sorted(map(max, by_thread))),
        batches=sum(len(each.at) for each in finished),
        batches_per_sec=len(steady) / outside_secs,
    )


def _gaps(ends: Sequence[float], begin: float, end: float) -> tuple[list[float], list[float]]:
    """The gaps outside and within a span of time; a gap belongs to where it ends."""
    outside: list[float] = []
    within: list[float] = []
    for before, after in itertools.pairwise(ends):
        (within if begin < after <= end else outside).append(after - before)
    return outside, within
