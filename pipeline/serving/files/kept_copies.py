"""The copies of model files that a process holds, because releases that it keeps name them."""

from __future__ import annotations

import threading
from collections.abc import Collection

from pipeline.batch.release import ModelVersion
from pipeline.serving.files.artifacts import ArtifactCache, Fetched


class KeptCopies:
    """Holds what it fetched until it is told which versions are kept. Any thread may call it.

    A version is held whether it is loaded or not: one that stands aside is loaded again from its
    copy, whatever became of the files that it was made from.

    Args:
      cache: makes the copies.
    """

    def __init__(self, cache: ArtifactCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._held: dict[ModelVersion, Fetched] = {}

    def fetch(self, version: ModelVersion) -> Fetched:
        """The files of a version, held from now on. Raises what `ArtifactCache.fetch_version` does.

        Who loads it must count as one that keeps it before this is called.
        """
        fetched = self._cache.fetch_version(version)
        with self._lock:
            self._held[version] = fetched
        return fetched

    def held(self, version: ModelVersion) -> Fetched | None:
        """The files of a version; None where they are not held."""
        with self._lock:
            return self._held.get(version)

    def keep_only(self, versions: Collection[ModelVersion]) -> None:
        """Lets go of the copies of all other versions. Quick: :meth:`evict` removes them."""
        with self._lock:
            for version in self._held.keys() - set(versions):
                self._held.pop(version).let_go()

    def evict(self) -> None:
        """Removes from disk what no process of this machine holds."""
        self._cache.evict()
