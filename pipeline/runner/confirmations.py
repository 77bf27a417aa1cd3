"""What a source does once its elements are safe: it acknowledges them, or notes that they are read.

A runner finalizes a bundle when it is committed. On Flink that may be by a checkpoint that began
before the bundle: a failure then goes back before its elements (shown by trial). The checkpoint
after that one has them. A bundle that begins when another one is finalized is finalized by a later
checkpoint; so on such runners a confirmation waits for a bundle of the same source that began after
its own was finalized.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

Confirm = Callable[[], None]

END_PATIENCE_SECS = 120.0
"""How long a source that is to end waits for its last confirmations."""


_LOST_AFTER = 3
"""So many commits later than its own could have been, the one of a bundle does not come."""


def _do_nothing() -> None:
    pass


@dataclass(eq=False, slots=True)
class _Waiting:
    confirm: Confirm
    lost: Confirm
    commits: int  # when it was added


class Confirmations:
    """The confirmations of one source in one process. Safe from any thread.

    A bundle that failed is never finalized. It is told from one that is to be by counting commits:
    one is over at the latest when a bundle is finalized that began after another one was.

    Args:
      late: whether one waits for another bundle, see above.
      clock: seconds.
    """

    def __init__(self, late: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._late = late
        self._clock = clock
        self._lock = threading.Lock()
        self._commits = 0
        self._emitted: dict[_Waiting, None] = {}
        self._finalized: dict[_Waiting, None] = {}
        self._asked_at: float | None = None

    def begin(self, finalizer: Any) -> None:
        """A bundle begins: call it before anything is emitted, in each bundle."""
        if not self._late:
            return
        with self._lock:
            ready = tuple(self._finalized)
            waits = bool(ready or self._emitted)
        if waits:  # Beam keeps an instance of the step for each bundle that is to be finalized
            finalizer.register(partial(self._confirm, ready, self._commits))

    def add(self, finalizer: Any, confirm: Confirm, lost: Confirm = _do_nothing) -> None:
        """Calls `confirm` once what this bundle emits is safe.

        Args:
          finalizer: of the bundle.
          confirm: never waits.
          lost: called instead if the bundle is not finalized while later ones are; never waits.
            Both are called if it is finalized after all.
        """
        if not self._late:
            finalizer.register(confirm)
            return
        with self._lock:
            waiting = _Waiting(confirm, lost, self._commits)
            self._emitted[waiting] = None
        finalizer.register(partial(self._finalize, waiting))

    def may_end(self) -> bool:
        """Whether the source may end: nothing is to be confirmed, or that was waited for."""
        with self._lock:
            if not self._emitted and not self._finalized:
                return True
            if self._asked_at is None:
                self._asked_at = self._clock()
            return self._clock() >= self._asked_at + END_PATIENCE_SECS

    def _finalize(self, waiting: _Waiting) -> None:
        with self._lock:
            self._emitted.pop(waiting, None)
            self._finalized[waiting] = None
        self._count(waiting.commits)

    def _confirm(self, ready: tuple[_Waiting, ...], commits: int) -> None:
        for waiting in ready:
            with self._lock:
                if waiting not in self._finalized:
                    continue  # by another bundle that began meanwhile
                del self._finalized[waiting]
            waiting.confirm()
        self._count(commits)

    def _count(self, commits: int) -> None:
        """Takes note that a bundle is finalized that began after so many commits."""
        with self._lock:
            if commits != self._commits:
                return
            self._commits += 1
            lost = [each for each in self._emitted if each.commits + _LOST_AFTER <= self._commits]
            for each in lost:
                del self._emitted[each]
        for each in lost:
            each.lost()
