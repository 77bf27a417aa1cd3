"""Lists what lies under a pattern, with all that tells an overwritten file from the old one.

Beam's own listing has names, sizes and times, but no generations. So ``gs://`` is listed through
google-cloud-storage, with Beam's credentials (https://docs.cloud.google.com/storage/docs/json_api).
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests
from apache_beam.io.gcp.gcsio import create_storage_client
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from google.api_core.exceptions import RetryError
from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

from pipeline.connectors.storage_errors import READER_ROLE, explain, status_of
from pipeline.core.version_order import StoredFile
from pipeline.core.version_pattern import literal_prefix, match
from pipeline.errors import ArtifactError, ArtifactNotFoundError

_ANSWER_SECS = 20.0
_FIELDS = "items(name,bucket,size,generation,timeCreated),nextPageToken"


@dataclass(frozen=True)
class StorageLister:
    """A :class:`~pipeline.refresh.watcher.Lister` of local folders and ``gs://`` buckets.

    Attributes:
      options: Beam's options, for its credentials. None are used with ``--no_auth``, nor where an
        emulator answers for the storage (``STORAGE_EMULATOR_HOST``).
      retry_secs: for how long a request that failed is repeated. Who watches comes again anyway.
    """

    options: PipelineOptions = field(default_factory=PipelineOptions)
    retry_secs: float = 10.0

    def list_files(self, pattern: str) -> list[StoredFile]:
        """See Lister. Links are followed to files and to the versions themselves."""
        try:
            if pattern.startswith("gs://"):
                return list(self._objects(pattern))
            return list(_local_files(pattern))
        except Exception as error:
            cause = error.cause if isinstance(error, RetryError) else error
            kind = ArtifactNotFoundError if status_of(cause) == 404 else ArtifactError
            raise kind(f"{pattern} cannot be listed: {_reason(pattern, cause)}") from error

    def _objects(self, pattern: str) -> Iterator[StoredFile]:
        bucket, _, prefix = literal_prefix(pattern).removeprefix("gs://").partition("/")
        emulator = os.environ.get("STORAGE_EMULATOR_HOST")
        no_auth = bool(emulator or self.options.view_as(GoogleCloudOptions).no_auth)
        found = _client(emulator, no_auth, self.options).list_blobs(
            bucket,
            prefix=prefix,
            fields=_FIELDS,
            timeout=_ANSWER_SECS,
            retry=DEFAULT_RETRY.with_timeout(self.retry_secs),
        )
        for blob in found:
            uri = f"gs://{bucket}/{blob.name}"
            if match(pattern, uri):
                yield StoredFile(uri, blob.size, _us(blob.time_created), str(blob.generation))


@lru_cache(maxsize=4)
def _client(emulator: str | None, no_auth: bool, options: PipelineOptions) -> Any:
    """A client, which connects to the emulator by itself; one for each address and options."""
    return create_storage_client(options, use_credentials=not no_auth)


def _local_files(pattern: str) -> Iterator[StoredFile]:
    root = Path(literal_prefix(pattern) + "x").parent
    with os.scandir(root):
        pass  # to glob, a folder that is missing or may not be read looks empty
    for found in glob.glob(pattern):  # noqa: PTH207  # may be absolute
        inside = (
            os.path.join(folder, name)  # noqa: PTH118  # keeps the path as it was written
            for folder, _, names in os.walk(found)
            for name in names
        )
        for path in inside if os.path.isdir(found) else [found]:  # noqa: PTH112
            try:
                status = os.stat(path)  # noqa: PTH116
            except FileNotFoundError:
                continue  # gone since, or a link to nowhere
            fingerprint = f"{status.st_mtime_ns}-{status.st_size}"
            yield StoredFile(path, status.st_size, status.st_mtime_ns // 1000, fingerprint)


def _reason(pattern: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"folder '{error.filename}' does not exist"
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return f"the storage does not answer ({type(error).__name__})"
    return explain(pattern, error, READER_ROLE)


def _us(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)
