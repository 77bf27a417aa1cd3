"""The models of one process: loaded once, shared by all its threads, reached by release.

Servables are keyed by model version, so releases that share a version share the servable. A batch
names the release it wants; whatever of it is missing is loaded on the spot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from pipeline.backends.base import Servable
from pipeline.core.release import ModelVersion, Release

Loader = Callable[[ModelVersion], Servable]


class ReleaseManager:
    """Loads servables and keeps them. Every method may be called from any thread.

    Args:
      load: makes the servable of a version; called once for each version, unless it fails.
    """

    def __init__(self, load: Loader) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._servables: dict[ModelVersion, Future[Servable]] = {}

    def ensure(self, release: Release) -> None:
        """Returns when every model of `release` is loaded.

        Raises:
          EnsembleError: one of them cannot be loaded; the next call tries again.
        """
        for version in release.versions:
            self._servable(version)

    def servable(self, release: Release, model: str) -> Servable:
        """The servable of one model of a release, loaded now if it is not yet.

        Raises:
          KeyError: the release has no such model.
          EnsembleError: it cannot be loaded; the next call tries again.
        """
        return self._servable(release.version_of(model))

    def close(self) -> None:
        """Frees all servables. A later call loads what it needs again."""
        with self._lock:
            futures = list(self._servables.values())
            self._servables.clear()
        for future in futures:
            if future.done() and future.exception() is None:
                future.result().close()

    def _servable(self, version: ModelVersion) -> Servable:
        with self._lock:
            future = self._servables.get(version)
            mine = future is None
            if future is None:
                future = self._servables[version] = Future()
        if mine:
            try:
                future.set_result(self._load(version))
            except BaseException as error:
                with self._lock:
                    self._servables.pop(version, None)
                future.set_exception(error)
        return future.result()


_managers: dict[str, ReleaseManager] = {}
_managers_lock = threading.Lock()


@dataclass(frozen=True)
class ManagerHandle:
    """What travels to the workers in place of the manager itself: it can be pickled.

    The managers are held at module level, because whatever Beam holds for us (`Shared`) it drops as
    soon as another key is asked for.

    Attributes:
      job_key: names the job; a process normally sees only one.
      loader: for the manager, where this process has none for the job yet.
    """

    job_key: str
    loader: Loader

    def get(self) -> ReleaseManager:
        """The manager of this process: the same object for every thread and step of the job."""
        with _managers_lock:
            if self.job_key not in _managers:
                _managers[self.job_key] = ReleaseManager(self.loader)
            return _managers[self.job_key]

    def close(self) -> None:
        """Closes and forgets the manager, if this process has it."""
        with _managers_lock:
            manager = _managers.pop(self.job_key, None)
        if manager is not None:
            manager.close()
