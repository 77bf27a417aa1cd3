"""What lies in a watched folder, and which of it is complete."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.connectors.storage.hidden_names import is_hidden, say_hidden
from pipeline.connectors.storage.listing import match_files
from pipeline.connectors.storage.temporary_folder import is_unfinished
from pipeline.spec.uris import is_local

FINGERPRINT_BYTES = 16

_UNFINISHED = (".tmp", ".part", ".crdownload")


@dataclass(frozen=True)
class FileVersion:
    """A file as it was when it was looked at.

    Attributes:
      path: local path or URI.
      size_bytes: as stored.
      modified_ns: time of its last change, UTC nanoseconds since 1970.
      whole: whether it is known that nobody is still writing it.
    """

    path: str
    size_bytes: int
    modified_ns: int
    whole: bool

    @property
    def fingerprint(self) -> bytes:
        """FINGERPRINT_BYTES that differ when path, size or time of change differ."""
        text = f"{self.modified_ns} {self.size_bytes} {self.path}"
        data = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, digest_size=FINGERPRINT_BYTES).digest()


def list_files(pattern: str) -> list[FileVersion]:
    """The files that match now.

    Those with hidden names are left out, and the log says so (see `hidden_names`). Of local files
    those as well whose name begins with a dot or ends in .tmp, .part or .crdownload: somebody is
    writing them.

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``, or a folder, which stands for the files
        in it; in any storage Beam reaches.

    Raises:
      OSError: the storage cannot be listed, or a local folder does not exist.
    """
    if is_local(pattern):
        if Path(pattern).is_dir():
            pattern = f"{pattern.rstrip('/')}/*"
        return _meant(list(_list_local(pattern)), pattern)
    found = [] if pattern.endswith("/") else _list_remote(pattern)
    if not found and not glob.has_magic(pattern):
        pattern = f"{pattern.rstrip('/')}/*"
        found = _list_remote(pattern)
    return _meant(found, pattern)


def _meant(found: Sequence[FileVersion], pattern: str) -> list[FileVersion]:
    say_hidden([file.path for file in found if is_hidden(file.path, pattern)], pattern)
    return [file for file in found if not is_hidden(file.path, pattern)]


def _list_remote(pattern: str) -> list[FileVersion]:
    return [
        FileVersion(
            file.path,
            file.size_in_bytes,
            modified_ns=round(file.last_updated_in_seconds * 1e6) * 1000,
            whole=True,  # objects appear whole
        )
        for file in match_files(pattern)
    ]


def _list_local(pattern: str) -> Iterator[FileVersion]:
    folder = str(Path(pattern).parent)
    while glob.has_magic(folder):
        folder = str(Path(folder).parent)
    # glob takes a folder that is missing or may not be read for an empty one.
    os.scandir(folder).close()
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207  # may be absolute
        if path.rpartition("/")[2].startswith(".") or path.endswith(_UNFINISHED):
            continue
        if is_unfinished(path, pattern):
            continue
        try:
            found = Path(path).stat()
        except FileNotFoundError:  # moved away since, or a dangling link
            continue
        if stat.S_ISREG(found.st_mode):
            # A write sets both times; renaming, and what copying tools do last, only the second.
            whole = found.st_size > 0 and found.st_ctime_ns > found.st_mtime_ns
            yield FileVersion(path, found.st_size, found.st_mtime_ns, whole)


class Settling:
    """Tells complete files from those that may still be written.

    An object in a bucket appears whole. A local file counts as complete when it was renamed (or
    linked, or its mode or times were set) after the last write, when two looks found it the same,
    or when nothing was written for one interval.

    Args:
      interval_secs: between looks, at least.
    """

    def __init__(self, interval_secs: float) -> None:
        self._interval_ns = round(interval_secs * 1e9)
        self._before: set[FileVersion] = set()

    def complete(self, files: Sequence[FileVersion], now_ns: int) -> list[FileVersion]:
        """Those of `files` that are complete.

        Args:
          files: all that the newest look found.
          now_ns: when it began.
        """
        before, self._before = self._before, {file for file in files if not file.whole}
        since_ns = now_ns - self._interval_ns
        return [
            file for file in files if file.whole or file in before or file.modified_ns <= since_ns
        ]
