"""What the instances of one step have in common in a process.

Beam makes as many instances as it needs: where a bundle asked to be finalized, its instance waits
for that, and the next bundle gets another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """The things of this process, each shared by all who opened it under the same key.

    Args:
      dispose: called with a thing that nobody has open any more.
    """

    def __init__(self, dispose: Callable[[T], None]) -> None:
        self._dispose = dispose
        self._lock = threading.Lock()
        self._open: dict[str, tuple[T, int]] = {}

    def open(self, key: str, make: Callable[[], T]) -> T:
        """The one of this key, made if nobody has it open."""
        with self._lock:
            thing, users = self._open.get(key) or (make(), 0)
            self._open[key] = (thing, users + 1)
            return thing

    def close(self, key: str) -> None:
        """One user less; after the last one it is disposed of."""
        with self._lock:
            thing, users = self._open.pop(key)
            if users > 1:
                self._open[key] = (thing, users - 1)
                return
        self._dispose(thing)
