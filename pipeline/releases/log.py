"""Accepted releases as files, so that a restarted job resumes with the last one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import ArtifactNotFoundError
from pipeline.readable import logger
from pipeline.releases import manifest
from pipeline.releases.state import HISTORY, Accepted
from pipeline.serving.files.artifacts import ArtifactStore

_LOGGER = logger(__name__)
_NAME = re.compile(r"release-(\d+)\.json")


@dataclass(frozen=True)
class ReleaseStore:
    """Manifests ``release-000012.json`` in one folder, for one job at a time. Can be pickled.

    Attributes:
      folder: local or ``gs://``; created if needed.
      store: reads and writes its files.
    """

    folder: str
    store: ArtifactStore

    def uri_of(self, generation: int) -> str:
        """The URI of a generation."""
        return f"{self.folder.rstrip('/')}/release-{generation:06d}.json"

    def write(self, accepted: Accepted) -> None:
        """Keeps an accepted release. Readers see its file whole or not at all.

        Raises:
          ArtifactError: the storage refuses.
        """
        self.store.write_text(self.uri_of(accepted.release.generation), manifest.dump(accepted))

    def load_last(self) -> Accepted | None:
        """The release of the highest generation; None if there is none.

        Raises:
          ArtifactError: the storage refuses.
        """
        history = self.load_history(1)
        return history[-1] if history else None

    def load_history(self, count: int = HISTORY) -> list[Accepted]:
        """The last releases, oldest first. Damaged files are passed over, with a warning.

        Args:
          count: the most releases.

        Raises:
          ArtifactError: the storage refuses.
        """
        history: list[Accepted] = []
        for generation in sorted(self._generations(), reverse=True):
            if len(history) == count:
                break
            uri = self.uri_of(generation)
            try:
                history.append(manifest.load(self.store.read_text(uri)))
            except (ValueError, ArtifactNotFoundError) as error:
                _LOGGER.warning("%s is passed over: %s", uri, error)
        return history[::-1]

    def _generations(self) -> list[int]:
        try:
            files = self.store.list_files(self.folder)
        except ArtifactNotFoundError:
            return []
        found = (_NAME.fullmatch(file.relative) for file in files)
        return [int(match[1]) for match in found if match]
