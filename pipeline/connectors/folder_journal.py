"""Which files of a folder are done with, kept where a relaunched job finds it."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors import paths
from pipeline.connectors.folder_listing import FINGERPRINT_BYTES
from pipeline.connectors.storage_errors import WRITER_ROLE, explain
from pipeline.errors import PathError
from pipeline.serving.artifacts import is_local

_LOGGER = logging.getLogger(__name__)


class Journal:
    """The fingerprints of all files whose records were committed, one a line in hex.

    The whole list is written anew each time, and replaces the old one at once: bucket objects
    cannot be appended to. Thread-safe.

    Args:
      path: local file or URI.
      interval_secs: between two writes, at least.
    """

    def __init__(self, path: str, interval_secs: float) -> None:
        self.path = path
        self._interval_secs = interval_secs
        self._lock = threading.Lock()
        self._committed: bytes | None = None
        self._saved: bytes | None = None
        self._saved_at = float("-inf")
        self._failing = False

    def commit(self, seen: bytes) -> None:
        """Takes note of what is to be saved. Does not block."""
        self._committed = seen

    def save(self, *, now: bool = False) -> None:
        """Writes what was committed, if anything was since the last time.

        A failure is logged once; the next call tries again.

        Args:
          now: also if the last time was less than an interval ago.
        """
        with self._lock:
            committed = self._committed
            early = time.monotonic() < self._saved_at + self._interval_secs
            if committed is None or committed == self._saved or (early and not now):
                return
            self._saved_at = time.monotonic()
            try:
                _replace(self.path, _to_text(committed))
            except Exception as error:
                if not self._failing:
                    reason = explain(self.path, error, WRITER_ROLE)
                    _LOGGER.warning("%s cannot be written: %s; trying again", self.path, reason)
                self._failing = True
                return
            self._saved = committed
            if self._failing:
                _LOGGER.warning("%s can be written again", self.path)
            self._failing = False


def read(path: str) -> bytes:
    """The fingerprints in a journal, one after the other; none if there is no journal yet.

    Raises:
      PathError: it cannot be read, or is something else.
    """
    try:
        if not FileSystems.exists(path):
            return b""
    except Exception as error:
        raise PathError(f"'{path}' cannot be read: {explain(path, error, WRITER_ROLE)}") from error
    lines = paths.read_text(path).split()
    try:
        fingerprints = [bytes.fromhex(line) for line in lines]
    except ValueError:
        fingerprints = [b""]
    if any(len(fingerprint) != FINGERPRINT_BYTES for fingerprint in fingerprints):
        raise PathError(
            f"'{path}' is not a journal of files read: expected lines of "
            f"{2 * FINGERPRINT_BYTES} hexadecimal digits"
        )
    return b"".join(fingerprints)


def _to_text(seen: bytes) -> bytes:
    return seen.hex("\n", FINGERPRINT_BYTES).encode() + b"\n" if seen else b""


def _replace(path: str, content: bytes) -> None:
    if not is_local(path):
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(content)
            file.close()  # in here: a failed upload must leave by __exit__, which gives it up
        return
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content)
    os.replace(temporary, target)  # noqa: PTH105  # at once, as nothing else
