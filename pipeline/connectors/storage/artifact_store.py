"""Artifacts through Beam's file systems: ``gs://``, other storages Beam reaches, local."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.storage.errors import READER_ROLE, WRITER_ROLE, explain, status_of
from pipeline.connectors.storage.listing import match_files
from pipeline.errors import ArtifactError, ArtifactNotFoundError
from pipeline.serving.files.artifacts import TEXT_BYTES
from pipeline.serving.files.local_files import ArtifactFile, digest_of, local_files
from pipeline.spec.uris import is_local

_COPY_BYTES = 1 << 20


class BeamArtifactStore:
    """An :class:`~pipeline.serving.files.artifacts.ArtifactStore` on Beam's FileSystems.

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

    def read_text(self, uri: str, most_bytes: int = TEXT_BYTES) -> str:
        """See ArtifactStore."""
        content = bytearray()
        # Reading a device or a pipe may never end.
        if is_local(uri) and Path(uri).exists() and not Path(uri).is_file():
            raise ArtifactError(f"{uri} is no regular file")
        try:
            for chunk in _read(uri):
                content += chunk
                if len(content) > most_bytes:
                    raise ValueError(
                        f"it has more than {most_bytes >> 20} MiB, expected a small text file"
                    )
        except ArtifactNotFoundError as error:
            raise ArtifactNotFoundError(f"{uri} does not exist") from error
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 text: {error}") from error

    def write_text(self, uri: str, text: str, mime_type: str = "text/plain") -> None:
        """See ArtifactStore. Creates the folder of a local file.

        Args:
          uri: where to write.
          text: what to write.
          mime_type: what a bucket says of it to those who fetch it, such as browsers.
        """
        try:
            if is_local(uri):
                _write_local(Path(uri), text)
                return
            with FileSystems.create(uri, mime_type, CompressionTypes.UNCOMPRESSED) as file:
                file.write(text.encode())
                file.close()  # in here: see `paths.check_writable`
        except Exception as error:
            reason = explain(uri, error, WRITER_ROLE)
            raise ArtifactError(f"{uri} cannot be written: {reason}") from error

    def remove(self, uri: str) -> None:
        """See ArtifactStore."""
        try:
            if is_local(uri):
                Path(uri).unlink(missing_ok=True)
            else:
                FileSystems.delete([uri])
        except Exception as error:
            if status_of(error) != 404:
                reason = explain(uri, error, WRITER_ROLE)
                raise ArtifactError(f"{uri} cannot be removed: {reason}") from error

    def write_folder(self, uri: str, source: Path) -> None:
        """See ArtifactStore."""
        try:
            if is_local(uri):
                _write_local_folder(Path(uri), source)
                return
            for name, _ in local_files(source):
                with (
                    (source / name).open("rb") as content,
                    FileSystems.create(
                        f"{uri}/{name}", compression_type=CompressionTypes.UNCOMPRESSED
                    ) as file,
                ):
                    shutil.copyfileobj(content, file, _COPY_BYTES)
                    file.close()  # in here: see `paths.check_writable`
        except Exception as error:
            reason = explain(uri, error, WRITER_ROLE)
            raise ArtifactError(f"{uri} cannot be written: {reason}") from error


def _match(pattern: str, uri: str) -> list[Any]:
    try:
        return match_files(pattern)
    except Exception as error:
        raise _artifact_error(uri, error) from error


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


def _write_local(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_local_folder(path: Path, source: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        shutil.copytree(source, temporary)
        if path.exists() and not _same(path, source):
            shutil.rmtree(path)
        try:
            temporary.rename(path)
        except OSError:
            if not _same(path, source):  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _same(path: Path, other: Path) -> bool:
    try:
        return digest_of(path) == digest_of(other)
    except ArtifactError:
        return False


def _artifact_error(uri: str, error: Exception) -> ArtifactError:
    kind = ArtifactNotFoundError if status_of(error) == 404 else ArtifactError
    return kind(f"{uri} cannot be read: {explain(uri, error, READER_ROLE)}")
