"""A folder watched for new files: a source of streams that needs no service.

A splittable DoFn that never waits for storage: a thread reads ahead, bundles pick up what is there
and defer the rest. What was read is in the restriction, so the runner's checkpoint carries it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipeline.batch.block import Block
from pipeline.connectors.files.watched import journal as folder_journal
from pipeline.connectors.files.watched.journal import Journal
from pipeline.connectors.files.watched.reader import FolderReader
from pipeline.connectors.files.watched.shared import FolderSource
from pipeline.formats.format import Reading
from pipeline.runner.activity import activity
from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.runner.endless import WATERMARK, Endless, SourceProgress, end
from pipeline.runner.finalization import answer_quietly
from pipeline.runner.sharing import Shared
from pipeline.spec.uris import is_local

LOCAL_INTERVAL_SECS = 0.5
REMOTE_INTERVAL_SECS = 5.0

# The local runner works bundles off one by one, of all sources in turn: a bundle must end early.
_BUNDLE_SECS = 0.2
_IDLE_SECS = 0.05

# Shorter than it takes to begin another bundle and end it.
_LULL_SECS = 0.005

_sources: Shared[FolderSource] = Shared(FolderSource.close)

_RESTRICTION = DoFn.RestrictionParam()


def _never() -> bool:
    return False


class ReadNewFiles(PTransform):
    """Start of the pipeline -> PCollection of :class:`Block`, of a folder's files as they come.

    Every file is read once, those present at the start included, in order of modification time and
    name; a compressed one is decompressed (told by its name). A file that changed after it was read
    is read again, whole. A block holds records of one file; its origins tell when the file was
    modified and, as attribute ``file``, its path. Damaged and unreadable files end in a block that
    says so. A storage that fails is asked again and again, which is logged when it begins and ends.

    Objects in a bucket appear whole. A local file is read when it was renamed after its last write,
    or did not change for one interval. So writers should write under another name (one that begins
    with a dot or ends in .tmp, .part or .crdownload is ignored) and rename into place: such a file
    is read at the next look. One that is written in place, with pauses longer than the interval,
    is read half, and then again.

    Guaranteed: at least once. A bundle that fails is read again; so is, after a relaunch, every
    file that the journal does not have. Not guaranteed: that a file that is removed or overwritten
    before it was read is read at all.

    One worker reads, so on a service a reshuffle should follow. Elements carry the time of their
    arrival as timestamp: none is ever late.

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``, or a folder; in any storage Beam
        reaches.
      reading: how to read the files.
      interval_secs: between two looks; by default 0.5 for local files and 5 for others.
      stopped: asked between blocks; once true, the source ends. Pickled with the pipeline.
      journal: file in which finished files are noted after their records were committed, so that a
        job that is launched again goes on behind them. It is about an interval behind at most, or
        5 seconds in a bucket. Without it, such a job begins anew.
      confirms_late: see `runner.confirmations`, for the journal.
    """

    def __init__(
        self,
        pattern: str,
        reading: Reading | None = None,
        interval_secs: float | None = None,
        stopped: Callable[[], bool] = _never,
        journal: str | None = None,
        confirms_late: bool = False,
    ) -> None:
        super().__init__()
        if interval_secs is None:
            interval_secs = LOCAL_INTERVAL_SECS if is_local(pattern) else REMOTE_INTERVAL_SECS
        self._dofn = ReadFolder(
            pattern, reading or Reading(), interval_secs, stopped, journal, confirms_late
        )

    def expand(self, begin: Any) -> Any:
        """Builds the steps impulse and read."""
        return begin | "Impulse" >> beam.Impulse() | "Read" >> beam.ParDo(self._dofn)


@beam.typehints.with_output_types(Block)
class ReadFolder(DoFn, Endless):
    """The step of :class:`ReadNewFiles`, which see.

    The only element is the impulse; the restriction is a :class:`SourceProgress`.
    """

    def __init__(
        self,
        pattern: str,
        reading: Reading,
        interval_secs: float,
        stopped: Callable[[], bool],
        journal_path: str | None,
        confirms_late: bool,
    ) -> None:
        self._pattern = pattern
        self._reading = reading
        self._interval_secs = interval_secs
        self._stopped = stopped
        self._journal_path = journal_path
        self._confirms_late = confirms_late
        self._key = uuid.uuid4().hex  # the same in all copies of this step

    def initial_restriction(self, element: object) -> SourceProgress:
        """What the journal has, as read."""
        return SourceProgress(
            folder_journal.read(self._journal_path) if self._journal_path else b""
        )

    def setup(self) -> None:
        """Joins the other instances of this process."""
        if self._confirms_late:
            answer_quietly()
        self._activity = activity.count
        self._ending = False
        self._source = _sources.open(self._key, self._new_source)

    @DoFn.unbounded_per_element()
    def process(
        self,
        impulse: bytes,
        finalizer: Any = DoFn.BundleFinalizerParam,
        tracker: Any = _RESTRICTION,
        watermark: Any = WATERMARK,
    ) -> Iterator[Any]:
        """Emits what is there, for a moment at most."""
        source = self._source
        with source.reader_at(tracker.current_restriction()) as reader:
            confirmations = source.confirmations
            confirmations.begin(finalizer)
            ends_at = time.monotonic() + _BUNDLE_SECS
            taken = 0
            while not (stopping := self._stopped()) and time.monotonic() < ends_at:
                step = reader.take(_LULL_SECS if taken else 0.0)
                if step is None:
                    break
                if not tracker.try_claim(step.progress):
                    return
                taken += 1
                if step.block is not None:
                    yield TimestampedValue(step.block, Timestamp.now())
            if self._confirms_late or taken or (stopping and not self._ending):
                source.note(finalizer, reader.progress.seen)
            self._ending = stopping
            if stopping and confirmations.may_end():
                self._end(source, finalizer, tracker)
                return
            source.keep(reader)
        tracker.defer_remainder(Duration(self._rest(bool(taken))))

    def teardown(self) -> None:
        """Leaves the others."""
        _sources.close(self._key)

    def _end(self, source: FolderSource, finalizer: Any, tracker: Any) -> None:
        if source.journal is not None:
            if self._confirms_late:  # all is confirmed, and this bundle may never be finalized
                source.journal.save(now=True)
            else:
                finalizer.register(partial(source.journal.save, now=True))
        end(tracker)

    def _rest(self, busy: bool) -> float:
        """Waits for news, if there was none; returns for how long to be deferred."""
        if busy:
            activity.note()
            return 0.0
        seen, self._activity = self._activity, activity.rest(self._activity, _IDLE_SECS)
        return self._interval_secs if seen == self._activity else 0.0

    def _new_source(self) -> FolderSource:
        journal = None
        if self._journal_path:
            # Cloud Storage lets an object be overwritten about once a second.
            least_secs = 0.0 if is_local(self._journal_path) else REMOTE_INTERVAL_SECS
            journal = Journal(self._journal_path, max(self._interval_secs, least_secs))
        return FolderSource(self._new_reader, journal, self._confirms_late)

    def _new_reader(self, progress: SourceProgress, journal: Journal | None) -> FolderReader:
        return FolderReader(self._pattern, self._reading, self._interval_secs, progress, journal)
