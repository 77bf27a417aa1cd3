"""Marks of launches: which accepted release a launch was about to load, and whether it came back.

A release that was accepted may kill the process that loads it all the same: on another machine,
with another version of a framework. Then every launch would die of it. So a launch leaves a mark
before it loads a release and removes it afterwards; who finds one knows that the last launch did
not come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.errors import ArtifactError
from pipeline.readable import logger
from pipeline.serving.files.artifacts import ArtifactStore

_LOGGER = logger(__name__)


@dataclass(frozen=True)
class LaunchMarks:
    """Files ``trying/release-000012.json`` in a release folder.

    Attributes:
      folder: of the releases, local or ``gs://``.
      store: reads and writes its files.
    """

    folder: str
    store: ArtifactStore

    def is_left(self, generation: int) -> bool:
        """Whether a launch before this one did not come back from loading a release.

        Raises:
          ArtifactError: the storage refuses to tell.
        """
        return self.store.exists(self._uri(generation))

    @contextmanager
    def around(self, generation: int) -> Iterator[None]:
        """Around loading a release; a mark that cannot be written is none, with a warning."""
        uri = self._uri(generation)
        try:
            self.store.write_text(uri, f'{{"generation": {generation}}}\n')
        except ArtifactError as error:
            _LOGGER.warning("no mark is left while the release is loaded: %s", error)
            yield
            return
        try:
            yield
        finally:
            try:
                self.store.remove(uri)
            except ArtifactError as error:
                _LOGGER.warning("the next launch will try the release first: %s", error)

    def _uri(self, generation: int) -> str:
        return f"{self.folder.rstrip('/')}/trying/release-{generation:06d}.json"
