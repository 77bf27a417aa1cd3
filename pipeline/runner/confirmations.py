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
from functools import partial
from typing import Any

Confirm = Callable[[], None]

END_PATIENCE_SECS = 120.0
"""How long a source that is to end waits for its last confirmations."""


class Confirmations:
    """The confirmations of one source in one process. Safe from any thread.

    Args:
      late: whether one waits for another bundle, see above.
      clock: seconds.
    """

    def __init__(self, late: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._late = late
        self._clock = clock
        self._lock = threading.Lock()
        self._registered = 0
        self._finalized: list[Confirm] = []
        self._asked_at: float | None = None

    def begin(self, finalizer: Any) -> None:
        """A bundle begins: call it before anything is emitted, in each bundle."""
        if not self._late:
            return
        with self._lock:
            ready = tuple(self._finalized)
        if ready:  # Beam keeps an instance of the step for each bundle that is to be finalized
            finalizer.register(partial(self._confirm, ready))

    def add(self, finalizer: Any, confirm: Confirm) -> None:
        """Calls `confirm` once what this bundle emits is safe.

        Args:
          finalizer: of the bundle.
          confirm: never waits.
        """
        if not self._late:
            finalizer.register(confirm)
            return
        with self._lock:
            self._registered += 1
        finalizer.register(partial(self._finalize, confirm))

    def may_end(self) -> bool:
        """Whether the source may end: nothing is to be confirmed, or that was waited for."""
        with self._lock:
            if not self._registered:
                return True
            if self._asked_at is None:
                self._asked_at = self._clock()
            return self._clock() >= self._asked_at + END_PATIENCE_SECS

    def _finalize(self, confirm: Confirm) -> None:
        with self._lock:
            self._finalized.append(confirm)

    def _confirm(self, ready: tuple[Confirm, ...]) -> None:
        for confirm in ready:
            with self._lock:
                if confirm not in self._finalized:
                    continue  # by another bundle that began meanwhile
                self._finalized.remove(confirm)
                self._registered -= 1
            confirm()
