"""Which files of a folder are done with, kept where a relaunched job finds it."""

from __future__ import annotations

import threading
import time

from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.files.watched.listing import FINGERPRINT_BYTES
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.errors import WRITER_ROLE, explain
from pipeline.errors import ArtifactError, PathError
from pipeline.readable import logger
from pipeline.runner.outage import Outage

_LOGGER = logger(__name__)


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
        self._outage = Outage(
            _LOGGER, path, begins="%(why)s; trying again", ends="%(what)s can be written again"
        )

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
                BeamArtifactStore().write_text(self.path, _to_text(committed))
            except ArtifactError as error:
                self._outage.begin(error)
                return
            self._saved = committed
            self._outage.end()


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


def _to_text(seen: bytes) -> str:
    return seen.hex("\n", FINGERPRINT_BYTES) + "\n" if seen else ""
