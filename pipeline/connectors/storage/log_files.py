"""The files of a release log: each appears once, whole, and never changes.

Only a storage that can create a file on the condition that there is none will do: two writers of
one name must not both believe that theirs is the file.
"""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from google.api_core.exceptions import (
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.cloud.storage import Blob

from pipeline.connectors.storage.errors import READER_ROLE, WRITER_ROLE, explain, status_of
from pipeline.connectors.storage.gcs_client import gcs_client
from pipeline.connectors.storage.paths import check_writable
from pipeline.errors import ArtifactError, PathError
from pipeline.spec.uris import bucket_of, is_local

_READ_SECS = 5.0
_ANSWER_SECS = 20.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class LogFiles:
    """A :class:`~pipeline.releases.log.LogStorage` of local folders and ``gs://`` buckets.

    Attributes:
      options: Beam's options, for its credentials.
      patient: whether a read that fails is repeated for a while, as the client does by itself.
    """

    options: PipelineOptions = field(default_factory=PipelineOptions)
    patient: bool = True

    def for_polling(self) -> LogFiles:
        """See LogStorage."""
        return replace(self, patient=False)

    def create(self, uri: str, text: str) -> bool:
        """See LogStorage."""
        try:
            if is_local(uri):
                return _create_local(Path(uri), text)
            # With this condition the client repeats a request whose answer was lost, too.
            self._blob(uri).upload_from_string(
                text, "application/json", if_generation_match=0, timeout=_ANSWER_SECS
            )
        except PreconditionFailed:
            return False
        except ArtifactError:
            raise
        except Exception as error:
            reason = explain(uri, error, WRITER_ROLE)
            raise ArtifactError(f"{uri} cannot be written: {reason}") from error
        return True

    def read(self, uri: str) -> str | None:
        """See LogStorage."""
        try:
            content = self._content(uri)
        except (ArtifactError, ValueError):
            raise
        except Exception as error:
            if isinstance(error, NotFound) or status_of(error) == 404:
                return None
            reason = explain(uri, error, READER_ROLE)
            raise ArtifactError(f"{uri} cannot be read: {reason}") from error
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES >> 20} MiB, expected a manifest")
        return content.decode("utf-8-sig")

    def names(self, folder: str, start: str) -> list[str]:
        """See LogStorage."""
        try:
            if is_local(folder):
                with suppress(FileNotFoundError):
                    return [name for name in os.listdir(folder) if name.startswith(start)]  # noqa: PTH208
                return []
            bucket, _, path = self._gs(folder).partition("/")
            prefix = f"{path}/{start}" if path else start
            blobs = gcs_client(self.options).list_blobs(
                bucket, prefix=prefix, delimiter="/", fields="items(name),nextPageToken"
            )
            return [blob.name.rpartition("/")[2] for blob in blobs]
        except ArtifactError:
            raise
        except Exception as error:
            reason = explain(folder, error, READER_ROLE)
            raise ArtifactError(f"{folder} cannot be listed: {reason}") from error

    def _content(self, uri: str) -> bytes:
        if is_local(uri):
            if Path(uri).exists() and not Path(uri).is_file():
                raise ValueError("it is no regular file")  # reading a pipe may never end
            with Path(uri).open("rb") as file:
                return file.read(_MOST_BYTES + 1)
        try:
            how: dict[str, Any] = {"timeout": _READ_SECS, "retry": None}
            content: bytes = self._blob(uri).download_as_bytes(
                end=_MOST_BYTES, raw_download=True, **({} if self.patient else how)
            )
        except RequestRangeNotSatisfiable:  # it is empty
            return b""
        return content

    def _blob(self, uri: str) -> Any:
        return Blob.from_uri(f"gs://{self._gs(uri)}", client=gcs_client(self.options))

    def _gs(self, uri: str) -> str:
        """Bucket and name of a place in Cloud Storage.

        Raises:
          ArtifactError: it is in another storage.
        """
        if problem := storage_problem(uri):
            raise ArtifactError(f"{uri}: {problem}")
        return uri.removeprefix("gs://").rstrip("/")


def storage_problem(folder: str) -> str:
    """Why a release log cannot be in a folder, wherever its storage is; empty if it can."""
    if is_local(folder) or bucket_of(folder):
        return ""
    return (
        "expected a local folder or one in Cloud Storage (gs://): no other storage is known to "
        "create a file only where there is none"
    )


def check_log_folder(folder: str) -> None:
    """Makes sure that a release log can be in a folder.

    Raises:
      PathError: it cannot, or nothing can be written there.
    """
    if problem := storage_problem(folder):
        raise PathError(f"found '{folder}', {problem}")
    check_writable(f"{folder.rstrip('/')}/release")


def _create_local(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, path)  # unlike a rename, it fails where there is such a name
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTSUP):
            raise ArtifactError(
                f"{path} cannot be written: the file system of this folder has no hard links, "
                "which a release log needs; name a folder on another one"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return True
