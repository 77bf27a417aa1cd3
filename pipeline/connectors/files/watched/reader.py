"""A folder read in a thread of its own: looks, reads what is new, keeps a few blocks ready.

Storage may be slow or gone for a while; whoever takes the blocks never waits for it.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.batch.block import Block
from pipeline.connectors.files.watched.fetch import blocks_of_files
from pipeline.connectors.files.watched.journal import Journal
from pipeline.connectors.files.watched.listing import (
    FINGERPRINT_BYTES,
    FileVersion,
    Settling,
    list_files,
)
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.formats.format import Reading
from pipeline.readable import logger
from pipeline.runner.activity import activity
from pipeline.runner.endless import SourceProgress
from pipeline.runner.outage import Outage

_LOGGER = logger(__name__)

_STEPS_AHEAD = 16

# A file that fails this often, while its folder can be listed, is given up.
_MOST_TRIES = 5

PATIENCE_SECS = 10.0

# Looks take at most a tenth of the time, however many files there are.
_REST_PER_LOOK = 10


@dataclass(frozen=True)
class ReadStep:
    """One step of a reader.

    Attributes:
      progress: after this step.
      block: what it read; None where it came to the end of an empty file.
    """

    progress: SourceProgress
    block: Block | None


class FolderReader:
    """Reads the complete files of a folder, each once, in order of modification time and name.

    Goes on when the storage fails, and says so once when that begins and once when it is over. A
    file that alone cannot be read ends, after some tries, in a block that says why. A file that
    changed after it was read is a new file; one that is gone is forgotten.

    Args:
      pattern: see :func:`~pipeline.connectors.files.watched.listing.list_files`.
      reading: how to read the files.
      interval_secs: between two looks at the folder.
      start: where to begin; its keys are fingerprints of files.
      journal: saved from the thread of the reader; its file is never read as input.
    """

    def __init__(
        self,
        pattern: str,
        reading: Reading,
        interval_secs: float,
        start: SourceProgress,
        journal: Journal | None = None,
    ) -> None:
        self.progress = start
        """After the last step that was taken."""
        self._pattern = pattern
        self._reading = reading
        self._interval_secs = interval_secs
        self._journal = journal
        self._ahead = start
        self._seen = set(_split(start.seen))
        self._settling = Settling(interval_secs)
        self._outage = Outage(
            _LOGGER,
            pattern,
            begins="'%(what)s' cannot be read: %(why)s; trying again",
            ends="'%(what)s' can be read again, after %(secs).0f s",
        )
        self._expect_answer()
        self._failed = (b"", 0)
        self._steps: queue.Queue[ReadStep | BaseException] = queue.Queue(_STEPS_AHEAD)
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="folder-reader", daemon=True).start()

    def take(self, wait_secs: float) -> ReadStep | None:
        """The next step; None if there is none after waiting for so long.

        Raises:
          Exception: what stopped the thread of the reader.
        """
        try:
            step = self._steps.get(timeout=wait_secs) if wait_secs else self._steps.get_nowait()
        except queue.Empty:
            if time.monotonic() > self._answer_expected_by:
                self._outage.begin(f"no answer for {PATIENCE_SECS:.0f} s")
            return None
        if isinstance(step, BaseException):
            self._closed.set()
            raise step
        self.progress = step.progress
        return step

    def stands_at(self, progress: SourceProgress) -> bool:
        """Whether it is open, and the next step is the one that follows `progress`."""
        return self.progress == progress and not self._closed.is_set()

    def close(self) -> None:
        """Ends the thread, once the storage lets it. Does not wait for that."""
        self._closed.set()
        with contextlib.suppress(queue.Empty):
            while True:  # the thread may be waiting for room
                self._steps.get_nowait()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                began = time.monotonic()
                files = self._look()
                rest_secs = _REST_PER_LOOK * (time.monotonic() - began)
                with contextlib.closing(blocks_of_files(files, self._reading)) as contents:
                    for file, blocks in contents:
                        if not self._read(file, blocks):
                            break
                self._save_journal()
                rest_secs = max(self._interval_secs, rest_secs)
                self._expect_answer(rest_secs)
                self._closed.wait(rest_secs)
        except BaseException as error:
            self._steps.put(error)
            activity.note()

    def _look(self) -> list[FileVersion]:
        """The files to read now, in order."""
        now_ns = time.time_ns()
        try:
            found = list_files(self._pattern)
        except OSError as error:
            self._outage.begin(explain(self._pattern, error, READER_ROLE))
            return []
        self._outage.end()
        self._expect_answer()
        ours = self._journal.path if self._journal else None
        files = {file.fingerprint: file for file in found if file.path != ours}
        if not self._seen <= files.keys():
            self._seen &= files.keys()
            self._ahead = replace(self._ahead, seen=b"".join(self._seen))
        unread = [file for fingerprint, file in files.items() if fingerprint not in self._seen]
        return sorted(
            self._settling.complete(unread, now_ns),
            # A file that was left in the middle comes first.
            key=lambda f: (f.fingerprint != self._ahead.reading, f.modified_ns, f.path),
        )

    def _read(self, file: FileVersion, blocks: Iterator[Block]) -> bool:
        """Hands over the blocks of a file that were not before; false to look again first."""
        fingerprint = file.fingerprint
        if fingerprint != self._ahead.reading:
            self._ahead = replace(self._ahead, reading=fingerprint, blocks=0)
        last = None  # handed over together with the end of the file
        try:
            for block in itertools.islice(blocks, self._ahead.blocks, None):
                if last is not None:
                    self._hand_over_next(last)
                    if self._closed.is_set():
                        return False
                last = block
        except FileNotFoundError:
            _LOGGER.warning("%s was removed before it was read", file.path)
            return True
        except Exception as error:
            reason = explain(file.path, error, READER_ROLE)
            if not self._give_up(file, reason):
                return False
            if last is not None:
                self._hand_over_next(last)
            message = f"{file.path} cannot be read, tried {_MOST_TRIES} times: {reason}"
            last = Block((), file.path, message)
        self._seen.add(fingerprint)
        done = replace(self._ahead, seen=self._ahead.seen + fingerprint, reading=b"", blocks=0)
        self._hand_over(done, last)
        return not self._closed.is_set()

    def _hand_over_next(self, block: Block) -> None:
        self._hand_over(replace(self._ahead, blocks=self._ahead.blocks + 1), block)
        self._failed = (b"", 0)

    def _hand_over(self, progress: SourceProgress, block: Block | None) -> None:
        self._ahead = progress
        self._outage.end()
        self._steps.put(ReadStep(progress, block))
        activity.note()
        self._expect_answer()
        self._save_journal()

    def _save_journal(self) -> None:
        if self._journal:
            self._journal.save()

    def _expect_answer(self, rest_secs: float = 0.0) -> None:
        # The storage clients try on by themselves for about two minutes, without a word.
        self._answer_expected_by = time.monotonic() + rest_secs + PATIENCE_SECS

    def _give_up(self, file: FileVersion, reason: str) -> bool:
        fingerprint, tries = self._failed
        tries = tries + 1 if fingerprint == file.fingerprint else 1
        self._failed = (file.fingerprint, tries)
        if tries == 1:
            _LOGGER.warning("%s cannot be read: %s; trying again", file.path, reason)
        return tries >= _MOST_TRIES


def _split(seen: bytes) -> Iterator[bytes]:
    for start in range(0, len(seen), FINGERPRINT_BYTES):
        yield seen[start : start + FINGERPRINT_BYTES]
