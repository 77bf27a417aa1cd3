"""Modules of a hub, kept where all processes of a job find them.

Layout, below the folder of ``--model_cache_dir``::

    <hash of the URL>/<digest>/...       the module's files
    <hash of the URL>/module.json        which URL, which digest, which files; written last

Hubs never change a numbered version, so what is kept is not fetched again; delete a module's folder
for that. The files count only if they are those of ``module.json``, so nobody reads a module that
is still being written, and two jobs that start at once write the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.backends.archives import DEFAULT_BYTES
from pipeline.backends.tensorflow.hub.resolver import module_folder
from pipeline.backends.tensorflow.hub.response import Patience
from pipeline.errors import ArtifactError, ArtifactNotFoundError
from pipeline.readable import logger, shown_uri
from pipeline.serving.files.artifacts import ArtifactStore
from pipeline.serving.files.local_files import digest_of, local_files
from pipeline.serving.files.own_folder import own_folder
from pipeline.spec.uris import is_local

_LOGGER = logger(__name__)
_MANIFEST = "module.json"


@dataclass(frozen=True)
class HubCache:
    """A :class:`~pipeline.serving.files.artifacts.ModuleHub`. Can be pickled.

    Attributes:
      store: reads and writes the folder.
      folder: where modules are kept, local or ``gs://``; empty to keep them in this user's
        cache only, so that each machine asks the hub.
      patience: how long the hub is waited for.
      most_bytes: of a module's archive, and of its files together.
    """

    store: ArtifactStore
    folder: str = ""
    patience: Patience = field(default_factory=Patience)
    most_bytes: int = DEFAULT_BYTES

    def place(self, url: str) -> str:
        """See ModuleHub. Asks the hub where the module is not kept, or not as a whole.

        Raises:
          ArtifactNotFoundError: the hub has no such module.
          LoadError: what the hub has is no TensorFlow 2 SavedModel.
          ArtifactError: the folder cannot be read, or the hub does not answer.
        """
        if not self.folder:
            return self._fetched(url)
        home = f"{self.folder.rstrip('/')}/{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        return self._kept(home) or self._keep(url, home)

    def _fetched(self, url: str) -> str:
        return module_folder(url, self.patience, self.most_bytes, own_folder("hub"))

    def _kept(self, home: str) -> str | None:
        """Where the module is kept; None where it is not."""
        try:
            manifest = _parse(self.store.read_text(f"{home}/{_MANIFEST}"))
            place = f"{home}/{manifest['digest']}"
            found = {file.relative: file.size_bytes for file in self.store.list_files(place)}
        except ArtifactNotFoundError:
            return None
        except ValueError as error:
            _LOGGER.warning("%s/%s is written anew: %s", home, _MANIFEST, error)
            return None
        return place if found == manifest["files"] else None

    def _keep(self, url: str, home: str) -> str:
        """Fetches a module from the hub and keeps it. Where that is not possible, it is used."""
        fetched = self._fetched(url)
        if not is_local(fetched):  # TFHUB_CACHE_DIR is a shared one already
            return fetched
        folder = Path(fetched)
        digest = digest_of(folder)
        files = {file.relative: file.size_bytes for file in local_files(folder)}
        manifest = {"url": shown_uri(url), "digest": digest, "files": files}
        try:
            self.store.write_folder(f"{home}/{digest}", folder)
            self.store.write_text(f"{home}/{_MANIFEST}", json.dumps(manifest, indent=1))
        except ArtifactError as error:
            _LOGGER.warning("%s is not kept in %s: %s", shown_uri(url), self.folder, error)
            return fetched
        return f"{home}/{digest}"


def _parse(text: str) -> dict[str, Any]:
    """A manifest.

    Raises:
      ValueError: it is none.
    """
    manifest = json.loads(text)
    if not isinstance(manifest, dict) or not {"digest", "files"} <= manifest.keys():
        raise ValueError(f"found {text[:40]!r}, expected a mapping with the keys digest and files")
    return manifest
