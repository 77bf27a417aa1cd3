"""Lines appended to a local file that gets its name when it is closed, every few seconds.

A file is written under a hidden name, ``.<final name>.part``, and renamed when it is closed. What
was appended survives the death of the process: the next writer with the same prefix completes what
was left. (It survives the death of the machine once the file has its final name.)
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from pipeline.readable import logger
from pipeline.runner.job_thread import JobThread

_LOGGER = logger(__name__)

_SCAN_BYTES = 1 << 20


def unique_prefix(prefix: str, token: str) -> str:
    """``<prefix>-20261122T091500Z-<token>``, with the time now, UTC: names sort by time."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token}"


@dataclass
class _OpenFile:
    """A file being written; locked, so that nobody takes it for a leftover.

    Attributes:
      path: hidden.
      file: unbuffered.
      opened_at_secs: on the writer's clock.
      size_bytes: of all that was appended; what lies behind is of an append that failed.
      rows: lines appended.
    """

    path: Path
    file: FileIO
    opened_at_secs: float
    size_bytes: int = 0
    rows: int = 0


class RollingWriter:
    """Appends chunks of whole lines; a thread of its own closes files by age and number of lines.

    Final files are ``<prefix>-20261122T091500Z-5f3a9c01-00001<suffix>``: when it was begun (UTC), a
    random number for each writer, a count. Thread-safe; writers of several processes may share a
    prefix.

    Args:
      prefix: local path up to the time; its folder is created.
      suffix: end of the file names. Files are not compressed.
      roll_secs: age at which a file is closed, also if nothing more comes.
      roll_rows: a file with so many lines is closed.
      clock: seconds.

    Raises:
      OSError: the folder cannot be created, or leftovers in it cannot be completed.
    """

    def __init__(
        self,
        prefix: str,
        suffix: str,
        roll_secs: float,
        roll_rows: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = prefix
        self._suffix = suffix
        self._roll_secs = roll_secs
        self._roll_rows = roll_rows
        self._clock = clock
        self._token = secrets.token_hex(4)
        self._count = 0
        self._current: _OpenFile | None = None
        self._full: list[_OpenFile] = []
        self._failure: OSError | None = None
        self._closed = False
        self._changed = threading.Condition()
        Path(prefix).parent.mkdir(parents=True, exist_ok=True)
        recover(prefix, suffix)
        self._thread = JobThread("rolling-writer", self._run)

    def append(self, chunks: Sequence[bytes]) -> None:
        """Adds chunks to the open file: all of them, or none if it fails.

        Args:
          chunks: whole lines, each with its line end.

        Raises:
          OSError: they cannot be written, or a file before these could not be closed.
          ValueError: the writer is closed.
          ThreadEndedError: no file is closed when it is due any more.
        """
        data = b"".join(chunks)
        if not data:
            return
        with self._changed:
            if self._closed:
                raise ValueError(f"the writer of '{self._prefix}' is closed")
            if self._failure is not None:
                raise self._failure
            self._thread.check()
            if self._current is None:
                self._current = self._open()
                self._changed.notify()
            _append(self._current, data)
            if self._current.rows >= self._roll_rows:
                self._full.append(self._current)
                self._current = None
                self._changed.notify()

    def close_due(self) -> None:
        """Closes the files that are full or old enough. The thread does this when it is time.

        Raises:
          OSError: one cannot be closed; its lines stay in its hidden file.
        """
        with self._changed:
            due, self._full = self._full, []
            if self._current is not None and self._secs_left(self._current) <= 0:
                due.append(self._current)
                self._current = None
        _finish_all(due)

    def close(self) -> None:
        """Closes all files, and the writer for good.

        Raises:
          OSError: a file could not be closed, now or before; its lines stay in its hidden file.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        remaining = [*self._full, self._current] if self._current else self._full
        self._full, self._current = [], None
        _finish_all(remaining)
        if self._failure is not None:
            raise self._failure

    def _open(self) -> _OpenFile:
        self._count += 1
        final = Path(f"{unique_prefix(self._prefix, self._token)}-{self._count:05d}{self._suffix}")
        path = final.with_name(f".{final.name}.part")
        while True:
            file = FileIO(path, "x")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else `recover` was faster, and removed it
                return _OpenFile(path, file, self._clock())
            file.close()

    def _secs_left(self, file: _OpenFile) -> float:
        return file.opened_at_secs + self._roll_secs - self._clock()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                self.close_due()
            except OSError as error:
                _LOGGER.error("%s", error)
                self._failure = error

    def _wait_until_due(self) -> bool:
        """False when the writer was closed in the meantime."""
        with self._changed:
            while not self._closed:
                secs = self._secs_left(self._current) if self._current else None
                if self._full or (secs is not None and secs <= 0):
                    return True
                self._changed.wait(secs)
        return False


def _append(target: _OpenFile, data: bytes) -> None:
    rest = memoryview(data)
    try:
        target.file.seek(target.size_bytes)
        while rest:
            rest = rest[target.file.write(rest) :]
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; cannot write", str(target.path)) from error
    target.size_bytes += len(data)
    target.rows += data.count(b"\n")


def _finish_all(files: Iterable[_OpenFile]) -> None:
    failures: list[OSError] = []
    for file in files:
        try:
            _finish(file.path, file.file, file.size_bytes)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _finish(path: Path, file: FileIO | BinaryIO, size_bytes: int) -> None:
    """Gives the first bytes of a file its final name, nothing if there are none."""
    with file:
        if size_bytes == 0:
            path.unlink()
            return
        file.truncate(size_bytes)
        os.fsync(file.fileno())
        path.rename(path.with_name(path.name.removeprefix(".").removesuffix(".part")))


def recover(prefix: str, suffix: str) -> None:
    """Completes what killed processes left: cuts it to whole lines, and gives it its final name.

    Files that a living process writes are left alone.

    Raises:
      OSError: a leftover cannot be read, cut or renamed.
    """
    name = re.escape(Path(prefix).name)
    leftover = re.compile(
        rf"\.{name}-\d{{8}}T\d{{6}}Z-[0-9a-f]{{8}}-\d{{5,}}{re.escape(suffix)}\.part"
    )
    for path in sorted(Path(prefix).parent.iterdir()):
        if not leftover.fullmatch(path.name):
            continue
        try:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _finish(path, file, _whole_lines_bytes(file))
            _LOGGER.info("completed %s, which a killed process left", path)
        except (BlockingIOError, FileNotFoundError):  # written, or completed by somebody else
            continue


def _whole_lines_bytes(file: BinaryIO) -> int:
    """Bytes up to and with the last line end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _SCAN_BYTES)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
