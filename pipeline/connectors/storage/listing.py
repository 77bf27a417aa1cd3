"""Lists what lies under a pattern, with all that tells an overwritten file from the old one.

Beam's own listing has names, sizes and times, but no generations. So ``gs://`` is listed through
google-cloud-storage.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from google.api_core.exceptions import RetryError
from google.cloud.storage.retry import DEFAULT_RETRY

from pipeline.backends.onnx.companions import companions, names_others
from pipeline.connectors.storage.errors import READER_ROLE, explain, status_of
from pipeline.connectors.storage.gcs_client import gcs_client
from pipeline.connectors.storage.temporary_folder import is_unfinished
from pipeline.errors import ArtifactError, ArtifactNotFoundError, LoadError
from pipeline.releases.version_rule import VersionRule, rule_of
from pipeline.releases.versions import StoredFile, rank
from pipeline.serving.files.local_files import files_below
from pipeline.spec.uris import bucket_of
from pipeline.spec.version_pattern import literal_prefix, match

_SEVERAL_FOLDERS = re.compile(r"(^|/)\*\*/")
_ANSWER_SECS = 20.0
_CHUNK_BYTES = 1 << 20
_MOST_NAMED = 10_000
_NEWEST = 3
"""So many versions are asked what they need beside them: newer than what serves are few."""
_FIELDS = "items(name,bucket,size,generation,timeCreated),nextPageToken"


def match_files(pattern: str) -> list[Any]:
    """The files that match in any storage Beam reaches, as its FileMetadata.

    Those that a batch job has not finished are left out (see `temporary_folder`).

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``; ``**/`` stands for any number of
        folders, also for none.

    Raises:
      Exception: whatever the storage raises; see `errors.explain`.
    """
    results = FileSystems.match(spellings(pattern))
    found = {file.path: file for result in results for file in result.metadata_list}
    # Object stores keep empty "folder/" objects, as their consoles create them.
    return [
        file
        for file in found.values()
        if not file.path.endswith("/") and not is_unfinished(file.path, pattern)
    ]


def spellings(pattern: str) -> list[str]:
    """The patterns that Beam takes for this one: to it, ``**/`` is at least one folder."""
    several = _SEVERAL_FOLDERS.search(pattern)
    if not several:
        return [pattern]
    before, behind = pattern[: several.start()], pattern[several.end() :]
    return [
        f"{before}{folders}{rest}" for rest in spellings(behind) for folders in several.group(0, 1)
    ]


@dataclass(frozen=True)
class StorageLister:
    """A :class:`~pipeline.releases.watcher.Lister` of local folders and ``gs://`` buckets.

    Attributes:
      options: Beam's options, for its credentials.
      retry_secs: for how long a request that failed is repeated. Who watches comes again anyway.
    """

    options: PipelineOptions = field(default_factory=PipelineOptions)
    retry_secs: float = 10.0

    def list_files(self, pattern: str, rule: VersionRule | None = None) -> list[StoredFile]:
        """See Lister. Links are followed. With the newest files comes what they need beside them.

        Where that may match the pattern itself, it comes with every file: it is no version.
        """
        try:
            if bucket_of(pattern) is not None:
                return list(self._objects(pattern, rule))
            return list(_local_files(pattern, rule))
        except Exception as error:
            cause = error.cause if isinstance(error, RetryError) else error
            kind = ArtifactNotFoundError if status_of(cause) == 404 else ArtifactError
            raise kind(f"{pattern} cannot be listed: {_reason(pattern, cause)}") from error

    def _objects(self, pattern: str, rule: VersionRule | None) -> Iterator[StoredFile]:
        bucket, _, prefix = literal_prefix(pattern).removeprefix("gs://").partition("/")
        client = gcs_client(self.options)
        often = {"timeout": _ANSWER_SECS, "retry": DEFAULT_RETRY.with_timeout(self.retry_secs)}
        blobs = client.list_blobs(bucket, prefix=prefix, fields=_FIELDS, **often)
        there = {f"gs://{bucket}/{blob.name}": blob for blob in blobs}
        files = [_object(uri, blob) for uri, blob in there.items() if match(pattern, uri)]
        for file, asked in _asked(pattern, files, rule):
            yield file
            for uri in _beside(
                file.uri, _named_in_object(file.uri, there[file.uri]) if asked else ()
            ):
                name = uri.removeprefix(f"gs://{bucket}/")
                blob = there.get(uri) or client.bucket(bucket).get_blob(name, **often)
                if blob is not None:
                    yield _object(uri, blob, part_of=file.uri)


def _asked(
    pattern: str, files: Iterable[StoredFile], rule: VersionRule | None
) -> Iterator[tuple[StoredFile, bool]]:
    """Each file, and whether to ask it what it needs beside it.

    Args:
      pattern: that they match, or lie below a match of.
      files: them.
      rule: how versions are ordered; None for as all these are.
    """
    found = {file: match(pattern, file.uri) for file in files}
    alone = [file for file, version in found.items() if version and not version.relative]
    naming = [file for file in alone if names_others(file.uri)]
    rule = rule or rule_of(pattern, [version.uri for version in found.values() if version])
    asked = set(naming)
    if rule is not None and len(naming) == len(alone):  # else one may be what another one needs
        order = sorted(naming, key=partial(rank, rule=rule))
        asked = set(order[-_NEWEST:])
    unread = set(naming) - asked
    for file in found:
        yield replace(file, unread=file in unread), file in asked


def _beside(uri: str, names: Iterable[str]) -> Iterator[str]:
    folder, slash, _ = uri.rpartition("/")
    return (f"{folder}{slash}{name}" for name in names)


def _object(uri: str, blob: Any, part_of: str = "") -> StoredFile:
    return StoredFile(uri, blob.size, _us(blob.time_created), str(blob.generation), part_of)


_named: dict[str, tuple[str, tuple[str, ...]]] = {}
"""File -> its fingerprint, and what it named beside it: read again only when it has changed."""


def _named_in(uri: str, fingerprint: str, opened: Callable[[], Any]) -> tuple[str, ...]:
    """The files that a file needs beside it; none where it is broken or they lie elsewhere.

    The gate says so, if it is proposed.
    """
    known = _named.get(uri)
    if known is None or known[0] != fingerprint:
        try:
            with opened() as file:
                known = (fingerprint, companions(uri, file))
        except LoadError:
            known = (fingerprint, ())
        if len(_named) >= _MOST_NAMED:
            _named.clear()
        _named[uri] = known
    return known[1]


def _named_in_object(uri: str, blob: Any) -> tuple[str, ...]:
    opened = partial(blob.open, "rb", chunk_size=_CHUNK_BYTES, timeout=_ANSWER_SECS)
    return _named_in(uri, str(blob.generation), opened)


def _local_files(pattern: str, rule: VersionRule | None) -> Iterator[StoredFile]:
    root = Path(literal_prefix(pattern) + "x").parent
    with os.scandir(root):
        pass  # to glob, a folder that is missing or may not be read looks empty
    for file, asked in _asked(pattern, _matches(pattern), rule):
        yield file
        opened = partial(Path(file.uri).open, "rb")
        names = _named_in(file.uri, file.fingerprint, opened) if asked else ()
        for path in _beside(file.uri, names):
            yield from _local_file(path, part_of=file.uri)


def _matches(pattern: str) -> Iterator[StoredFile]:
    for found in glob.glob(pattern):  # noqa: PTH207  # may be absolute
        if os.path.isdir(found):  # noqa: PTH112
            with suppress(ArtifactError, OSError):  # the gate says so, if it is proposed
                for name in files_below(Path(found)):
                    yield from _local_file(f"{found}/{name}")
        else:
            yield from _local_file(found)


def _local_file(path: str, part_of: str = "") -> Iterator[StoredFile]:
    """The file at a path as it was written; nothing if it is gone since, or a link to nowhere."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return
    fingerprint = f"{status.st_mtime_ns}-{status.st_size}"
    yield StoredFile(path, status.st_size, status.st_mtime_ns // 1000, fingerprint, part_of)


def _reason(pattern: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"folder '{error.filename}' does not exist"
    return explain(pattern, error, READER_ROLE)


def _us(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)
