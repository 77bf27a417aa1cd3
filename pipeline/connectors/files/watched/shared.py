"""What the instances of the step that reads a folder share in a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pipeline.connectors.files.watched.journal import Journal
from pipeline.connectors.files.watched.reader import FolderReader
from pipeline.runner.confirmations import Confirmations
from pipeline.runner.endless import SourceProgress


class FolderSource:
    """One reader, its confirmations and its journal. Safe from any thread.

    A reader is at one place of the folder, so one bundle has it at a time; who comes meanwhile, as
    after a failure that the other one has not noticed yet, gets another one.

    Args:
      make_reader: from its start and the journal.
      journal: where finished files are noted, if they are.
      confirms_late: see `runner.confirmations`.

    Attributes:
      confirmations: of what was emitted since the reader began.
    """

    def __init__(
        self,
        make_reader: Callable[[SourceProgress, Journal | None], FolderReader],
        journal: Journal | None,
        confirms_late: bool,
    ) -> None:
        self.confirmations = Confirmations(confirms_late)
        self.journal = journal
        self._make_reader = make_reader
        self._late = confirms_late
        self._lock = threading.Lock()
        self._waiting: FolderReader | None = None
        self._noted = b""

    @contextmanager
    def reader_at(self, progress: SourceProgress) -> Iterator[FolderReader]:
        """A reader whose next step follows `progress`; closed at the end, unless it was kept."""
        with self._lock:
            reader, self._waiting = self._waiting, None
            if reader is None or not reader.stands_at(progress):
                if reader is not None:
                    reader.close()
                reader = self._make_reader(progress, self.journal)
                # The job went back to `progress`: what came after it is not to be confirmed.
                self.confirmations = Confirmations(self._late)
                self._noted = b""
        try:
            yield reader
        finally:
            with self._lock:
                kept = self._waiting is reader
            if not kept:
                reader.close()

    def keep(self, reader: FolderReader) -> None:
        """The next bundle may go on with it."""
        with self._lock:
            other, self._waiting = self._waiting, reader
        if other is not None:
            other.close()

    def note(self, finalizer: Any, seen: bytes) -> None:
        """Has these files noted in the journal, once that is safe.

        Where that takes long, what was noted by an earlier bundle is not held once more.
        """
        if self.journal is None or (self._late and seen == self._noted):
            return
        self._noted = seen
        self.confirmations.add(finalizer, partial(self.journal.commit, seen))

    def close(self) -> None:
        """Ends the reader that waits for a bundle, if one does."""
        with self._lock:
            reader, self._waiting = self._waiting, None
        if reader is not None:
            reader.close()
