"""A stream of lines written to files that appear whole, one every few seconds.

Each transform takes a PCollection of bytes, bounded or not. Every element is a chunk of whole
lines, each with its line end. Names begin with ``<prefix>-20261122T091500Z-<hex digits>-``, so they
sort by time and no two are the same; files of earlier runs stay. A file with such a name is
finished and never changes. A write that fails fails its bundle, so that the input is not
acknowledged. Guaranteed: at least once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.files.rolling.group import MOST_BYTES, GroupChunks
from pipeline.connectors.files.rolling.writer import RollingWriter, unique_prefix
from pipeline.connectors.files.write import TemporaryFile, finalise
from pipeline.connectors.storage.errors import writing
from pipeline.errors import OutputError
from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.serving.process_handle import forget_all, process_object
from pipeline.spec.uris import is_local

DEFAULT_ROLL_SECS = 10.0
DEFAULT_ROLL_ROWS = 100_000


class AppendLines(PTransform):
    """Local files: every bundle is appended, as a whole and at its end, to the open one.

    See :class:`~pipeline.connectors.files.rolling.writer.RollingWriter`. Whoever started the
    pipeline calls :func:`close_all` when it is over. If the process is killed, its open file is
    completed when the next pipeline with this prefix starts.

    For runners that work in this process, one bundle after the other.

    Args:
      prefix: local path up to the time; free of wildcards.
      suffix: end of the file names.
      roll_secs: greatest age of an unfinished file.
      roll_rows: most lines of a file, about.

    Raises:
      ValueError: the suffix means compression; files must remain readable when they are cut.
    """

    def __init__(
        self,
        prefix: str,
        suffix: str,
        roll_secs: float = DEFAULT_ROLL_SECS,
        roll_rows: int = DEFAULT_ROLL_ROWS,
    ) -> None:
        super().__init__()
        if CompressionTypes.detect_compression_type(suffix) != CompressionTypes.UNCOMPRESSED:
            raise ValueError(f"found suffix '{suffix}', expected one without compression")
        self._append = _Append(prefix, suffix, roll_secs, roll_rows)

    def expand(self, chunks: Any) -> Any:
        """Builds the step."""
        return chunks | "Append" >> beam.ParDo(self._append)


class WriteObjects(PTransform):
    """A bucket: every bundle writes an object of its own, as a whole and at its end.

    Nothing can be appended to an object, and what is only in memory would be lost with the process.

    Args:
      prefix: URI up to the time; free of wildcards.
      suffix: end of the names. One that means compression compresses the objects.
    """

    def __init__(self, prefix: str, suffix: str) -> None:
        super().__init__()
        self._write = _WriteObject(prefix, suffix)

    def expand(self, chunks: Any) -> Any:
        """Builds the step."""
        return chunks | "WriteObject" >> beam.ParDo(self._write)


class WriteGroups(PTransform):
    """Chunks are grouped for `roll_secs`, at most 256 of them and 64 MiB, into a file.

    They are grouped by processing time, so nothing is ever too late. Each group is written to a
    temporary file, and moved in a step of its own. Retries may leave temporary files,
    ``<prefix>.tmp-*``; remove them when the job is over.

    For services. Beam 2.77's FnApiRunner holds shuffles back until a stream ends, and of two steps
    with timers behind one step it loses what one of them grouped.

    Args:
      prefix: path up to the time; free of wildcards.
      suffix: end of the file names. One that means compression compresses the files.
      roll_secs: longest time for which a chunk waits for others.
      most_bytes: of lines in a file before compression; a chunk that has more is a file by itself.
    """

    def __init__(
        self,
        prefix: str,
        suffix: str,
        roll_secs: float = DEFAULT_ROLL_SECS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        super().__init__()
        self._prefix = prefix
        self._suffix = suffix
        self._group = GroupChunks(roll_secs, most_bytes)

    def expand(self, chunks: Any) -> Any:
        """Builds the steps."""
        return (
            chunks
            | "Group" >> self._group
            | "WriteTemporary" >> beam.Map(_write_temporary, self._prefix, self._suffix)
            # From here on a retry meets the same temporary file.
            | "Commit" >> beam.Reshuffle()
            | "Finalise" >> beam.FlatMapTuple(partial(_finalise, self._suffix))
        )


def write_at_once(prefix: str, suffix: str, roll_secs: float) -> AppendLines | WriteObjects:
    """What writes a bundle's lines before the bundle ends, so that the runner need keep none.

    Nothing can be appended to an object of a bucket.
    """
    return (
        AppendLines(prefix, suffix, roll_secs) if is_local(prefix) else WriteObjects(prefix, suffix)
    )


def close_all() -> None:
    """Closes the open files of all pipelines of this process.

    Raises:
      OutputError: one could not be closed; the others are.
    """
    failures: list[OSError] = []
    for writer in forget_all(RollingWriter):
        try:
            writer.close()
        except OSError as error:
            failures.append(error)
    if failures:
        raise OutputError(f"what was written cannot be closed: {failures[0]}") from failures[0]


class _Append(DoFn):
    def __init__(self, prefix: str, suffix: str, roll_secs: float, roll_rows: int) -> None:
        self._arguments = (prefix, suffix, roll_secs, roll_rows)

    def start_bundle(self) -> None:
        self._chunks: list[bytes] = []

    def process(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish_bundle(self) -> None:
        # The first bundle makes the writer, also if it is empty: leftovers are completed then.
        make = partial(RollingWriter, *self._arguments)
        with writing(self._arguments[0]):
            process_object(RollingWriter, self._arguments[:2], make).append(self._chunks)


class _WriteObject(DoFn):
    def __init__(self, prefix: str, suffix: str) -> None:
        self._prefix = prefix
        self._suffix = suffix

    def setup(self) -> None:
        self._token = secrets.token_hex(4)
        self._count = 0

    def start_bundle(self) -> None:
        self._chunks: list[bytes] = []

    def process(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish_bundle(self) -> None:
        if self._chunks:
            self._count += 1
            name = unique_prefix(self._prefix, self._token)
            _write(f"{name}-{self._count:05d}{self._suffix}", self._chunks)


def _write_temporary(
    chunks: Iterable[bytes], prefix: str, suffix: str
) -> tuple[TemporaryFile, str, str]:
    """Returns the file, the folder that is its own, and the prefix of its final name."""
    token = secrets.token_hex(8)
    folder = f"{prefix}.tmp-{token}"
    path = f"{folder}/lines{suffix}"
    _write(path, chunks)
    size = FileSystems.match([path])[0].metadata_list[0].size_in_bytes
    return TemporaryFile(path, size), folder, unique_prefix(prefix, token)


def _finalise(suffix: str, file: TemporaryFile, folder: str, prefix: str) -> Iterator[str]:
    yield from finalise([file], prefix, suffix, folder)


def _write(path: str, chunks: Iterable[bytes]) -> None:
    with writing(path), FileSystems.create(path) as file:
        for chunk in chunks:
            file.write(chunk)
        file.close()  # in here: a failed upload must leave by __exit__, which gives it up
