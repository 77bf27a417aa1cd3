"""The table of the model versions in memory: loaded once, shared by all who use them, counted.

Life of a version here: *loading*, *ready*, gone. The first who uses it loads it, on its own thread;
who comes meanwhile waits for that load. A version in use is not removed. Which versions go is
somebody else's decision (`serving.retention`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.backends.base import Servable
from pipeline.batch.release import ModelVersion, Release
from pipeline.serving.opening import free
from pipeline.serving.retention import Loaded

_REMOVED = 16
"""Removed versions that are remembered, to tell a reload: those that come again come soon."""
Loader = Callable[[ModelVersion], Servable]


@dataclass
class _Entry:
    """One version in memory, or on its way there. Who loads it is one of its users."""

    servable: Future[Servable] = field(default_factory=Future)
    users: int = 0
    last_use: float = 0.0
    load_secs: float = 0.0
    in_table: bool = True

    @property
    def ready(self) -> bool:
        return self.servable.done() and self.servable.exception() is None


class VersionTable:
    """The versions in memory. Every method may be called from any thread.

    Args:
      load: makes the servable of a version; called once for each version in memory.
      clock: seconds, monotonic.

    Attributes:
      lock: guards the table. Whoever decides by what is in it holds it meanwhile; it is reentrant.
    """

    def __init__(self, load: Loader, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self._load = load
        self._clock = clock
        self._freed = threading.Condition(self.lock)
        self._entries: dict[ModelVersion, _Entry] = {}
        self._removed: dict[ModelVersion, None] = {}
        self._prepared: Release | None = None
        self._reloads = 0

    @contextmanager
    def use(self, version: ModelVersion) -> Iterator[Servable]:
        """The servable of a version, for the ``with`` block; loaded if it is missing.

        Raises:
          Exception: why it cannot be loaded; the next call tries again.
        """
        entry = self._acquire(version)
        try:
            yield entry.servable.result()
        finally:
            with self.lock:
                entry.users -= 1
                entry.last_use = self._clock()
                last = not (entry.users or entry.in_table)
                self._freed.notify_all()
            if last and entry.ready:
                free([entry.servable.result()])

    def versions(self) -> set[ModelVersion]:
        """All in the table, those that are still loading too."""
        with self.lock:
            return set(self._entries)

    def ready(self, among: Iterable[ModelVersion] | None = None) -> dict[ModelVersion, Servable]:
        """The versions that are loaded, all or those of some, and their servables."""
        with self.lock:
            found = self._entries if among is None else [v for v in among if v in self._entries]
            entries = {version: self._entries[version] for version in found}
        return {v: entry.servable.result() for v, entry in entries.items() if entry.ready}

    def loaded(self) -> list[Loaded]:
        """The versions that are loaded, as the retention policy sees them."""
        with self.lock:
            now = self._clock()
            return [
                Loaded(version, entry.users, now - entry.last_use)
                for version, entry in self._entries.items()
                if entry.ready
            ]

    def load_secs(self) -> dict[ModelVersion, float]:
        """How long it took to load each version in the table; 0 for those that still load."""
        with self.lock:
            return {version: entry.load_secs for version, entry in self._entries.items()}

    @property
    def reloads(self) -> int:
        """How often a version was loaded again after it had been removed."""
        return self._reloads

    def mark_prepared(self, release: Release) -> None:
        """Remembers that the versions of `release`, as they are in memory, were prepared to serve.

        Forgotten when one of them goes, and when another release is marked.
        """
        with self.lock:
            there = all(version in self._entries for version in release.versions)
            self._prepared = release if there else None

    def is_prepared(self, release: Release) -> bool:
        """Whether `release` was marked, and all of its versions have stayed."""
        with self.lock:
            return self._prepared == release

    def wait_unused(self, versions: Collection[ModelVersion]) -> None:
        """Waits until nobody uses any of some versions."""
        with self.lock:
            self._freed.wait_for(
                lambda: not any(self._entries[v].users for v in versions if v in self._entries)
            )

    def remove(self, versions: Iterable[ModelVersion]) -> list[Servable]:
        """Takes those of some versions out that are there and that nobody uses.

        Returns:
          their servables, to be freed once the lock is released: closing may take long.
        """
        with self.lock:
            going = [v for v in versions if v in self._entries and not self._entries[v].users]
            self._remember_removed(going)
            if self._prepared is not None and not set(going).isdisjoint(self._prepared.versions):
                self._prepared = None
            return [self._entries.pop(version).servable.result() for version in going]

    def clear(self) -> list[Servable]:
        """Takes out everything. What is in use is freed by its last user.

        Returns:
          the other servables, to be freed once the lock is released.
        """
        with self.lock:
            going = self.remove(list(self._entries))
            self._remember_removed(self._entries)
            for entry in self._entries.values():
                entry.in_table = False
            self._entries.clear()
            self._prepared = None
            return going

    def _remember_removed(self, removed: Iterable[ModelVersion]) -> None:
        """Remembers what is removed, and of all that was removed the last."""
        self._removed = dict.fromkeys([*self._removed, *removed][-_REMOVED:])

    def _acquire(self, version: ModelVersion) -> _Entry:
        with self.lock:
            entry = self._entries.get(version)
            missing = entry is None
            if entry is None:
                entry = self._entries[version] = _Entry()
                self._reloads += version in self._removed
            entry.users += 1
        if missing:
            started = self._clock()
            try:
                servable = self._load(version)
            except BaseException as error:
                with self.lock:
                    if entry.in_table:
                        del self._entries[version]
                        entry.in_table = False
                entry.servable.set_exception(error)
            else:
                entry.load_secs = self._clock() - started
                entry.servable.set_result(servable)
        return entry
