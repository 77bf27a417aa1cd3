"""Artifacts read through Beam's file systems: ``gs://``, other storages Beam reaches, local."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.storage_errors import READER_ROLE, explain, status_of
from pipeline.errors import ArtifactError, ArtifactNotFoundError
from pipeline.serving.artifacts import ArtifactFile, is_local, local_files

_COPY_BYTES = 1 << 20


class BeamArtifactStore:
    """An :class:`~pipeline.serving.artifacts.ArtifactStore` on Beam's FileSystems.

    Credentials are those of the process: on a worker, of the worker's service account.
    """

    def list_files(self, uri: str) -> list[ArtifactFile]:
        """See ArtifactStore. A folder is a common beginning of object names, up to a ``/``."""
        if is_local(uri):
            return local_files(Path(uri))
        if re.search(r"[*?\[]", uri):
            raise ArtifactNotFoundError(f"{uri} has wildcards, expected one file or folder")
        folder = uri.rstrip("/")
        below = _match(f"{folder}/**", uri)
        if below:
            start = len(folder) + 1
            return [ArtifactFile(file.path[start:], file.size_in_bytes) for file in below]
        if folder.count("/") > 2:  # else it is a bucket
            for file in _match(folder, uri):
                return [ArtifactFile("", file.size_in_bytes)]
        raise ArtifactNotFoundError(f"{uri} does not exist: no such file, and no file below it")

    def download(self, uri: str, relative: str, destination: Path) -> None:
        """See ArtifactStore."""
        with destination.open("wb") as file:
            file.writelines(_read(f"{uri.rstrip('/')}/{relative}" if relative else uri))

    def exists(self, uri: str) -> bool:
        """See ArtifactStore."""
        try:
            return bool(self.list_files(uri))
        except ArtifactNotFoundError:
            return False


def _match(pattern: str, uri: str) -> list[Any]:
    try:
        found = FileSystems.match([pattern])[0].metadata_list
    except Exception as error:
        raise _artifact_error(uri, error) from error
    # Object stores keep empty "folder/" objects, as their consoles create them.
    return [file for file in found if not file.path.endswith("/")]


def _read(path: str) -> Iterator[bytes]:
    try:
        # Whatever the name says: an artifact is copied as it is.
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            while chunk := file.read(_COPY_BYTES):
                yield chunk
    except Exception as error:
        if status_of(error) == 404:
            raise ArtifactNotFoundError(f"{path} is gone") from error
        raise _artifact_error(path, error) from error


def _artifact_error(uri: str, error: Exception) -> ArtifactError:
    kind = ArtifactNotFoundError if status_of(error) == 404 else ArtifactError
    return kind(f"{uri} cannot be read: {explain(uri, error, READER_ROLE)}")
