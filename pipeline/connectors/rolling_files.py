"""A stream of lines written to files that appear whole, one every few seconds."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors.block_writer import TemporaryFile, finalise
from pipeline.connectors.rolling_writer import RollingWriter, unique_prefix
from pipeline.serving.artifacts import is_local

DEFAULT_ROLL_SECS = 10.0
DEFAULT_ROLL_ROWS = 100_000

# Of a service, which holds the chunks of an unfinished file.
_CHUNKS_PER_FILE = 256

_writers: dict[tuple[str, str], RollingWriter] = {}
_writers_lock = threading.Lock()


class WriteRollingFiles(beam.PTransform):  # type: ignore[misc]  # Beam's classes are untyped
    """PCollection of bytes, bounded or not -> files of whole lines.

    Every element is a chunk of whole lines, each with its line end. Names begin with
    ``<prefix>-20261122T091500Z-<hex digits>-``, so they sort by time and no two are the same; files
    of earlier runs stay. A file with such a name is finished and never changes. A write that fails
    fails its bundle, so that the input is not acknowledged. Guaranteed: at least once.

    How a file comes about depends on where:

    * ``local``, local path: every bundle is appended, as a whole and at its end, to the open file
      of the process, see :class:`~pipeline.connectors.rolling_writer.RollingWriter`. Whoever
      started the pipeline calls :func:`close_all` when it is over. If the process is killed, its
      open file is completed when the next pipeline with this prefix starts.
    * ``local``, bucket: nothing can be appended to an object, and what is only in memory would be
      lost with the process. So every bundle writes an object of its own, as a whole and at its end.
    * not ``local``: chunks are grouped for `roll_secs`, at most 256 of them, by processing time, so
      that nothing is ever too late. Each group is written to a temporary file, and moved in a step
      of its own. Retries may leave temporary files, ``<prefix>.tmp-*``; remove them when the job is
      over.

    Args:
      prefix: path up to the time; free of wildcards.
      suffix: end of the file names. One that means compression compresses the files, except local
        ones, which must remain readable when they are cut: ValueError.
      local: whether the runner works in this process, one bundle after the other. Beam 2.77's
        FnApiRunner needs it: it holds shuffles back until a stream ends, and of two steps with
        timers behind one step it loses what one of them grouped.
      roll_secs: greatest age of an unfinished file.
      roll_rows: most lines of a local file, about.
    """

    def __init__(
        self,
        prefix: str,
        suffix: str,
        *,
        local: bool,
        roll_secs: float = DEFAULT_ROLL_SECS,
        roll_rows: int = DEFAULT_ROLL_ROWS,
    ) -> None:
        super().__init__()
        self._prefix = prefix
        self._suffix = suffix
        self._local = local
        self._roll_secs = roll_secs
        self._roll_rows = roll_rows
        plain = CompressionTypes.detect_compression_type(suffix) == CompressionTypes.UNCOMPRESSED
        if local and is_local(prefix) and not plain:
            raise ValueError(f"found suffix '{suffix}', expected one without compression")

    def expand(self, chunks: Any) -> Any:
        """Builds the steps."""
        if self._local and is_local(self._prefix):
            return chunks | "Append" >> beam.ParDo(
                _Append(self._prefix, self._suffix, self._roll_secs, self._roll_rows)
            )
        if self._local:
            return chunks | "WriteObject" >> beam.ParDo(_WriteObject(self._prefix, self._suffix))
        return (
            chunks
            | "OneKey" >> beam.WithKeys("lines")
            | "Group"
            >> beam.GroupIntoBatches.WithShardedKey(
                _CHUNKS_PER_FILE, max_buffering_duration_secs=self._roll_secs
            )
            | "Values" >> beam.Values()
            | "WriteTemporary" >> beam.Map(_write_temporary, self._prefix, self._suffix)
            # From here on a retry meets the same temporary file.
            | "Commit" >> beam.Reshuffle()
            | "Finalise" >> beam.FlatMapTuple(partial(_finalise, self._suffix))
        )


def close_all() -> None:
    """Closes the open files of all pipelines of this process.

    Raises:
      OSError: one could not be closed; the others are.
    """
    with _writers_lock:
        writers = list(_writers.values())
        _writers.clear()
    failures: list[OSError] = []
    for writer in writers:
        try:
            writer.close()
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


class _Append(beam.DoFn):  # type: ignore[misc]
    def __init__(self, prefix: str, suffix: str, roll_secs: float, roll_rows: int) -> None:
        self._arguments = (prefix, suffix, roll_secs, roll_rows)

    def start_bundle(self) -> None:
        self._chunks: list[bytes] = []

    def process(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish_bundle(self) -> None:
        # The first bundle makes the writer, also if it is empty: leftovers are completed then.
        key = self._arguments[:2]
        with _writers_lock:
            if key not in _writers:
                _writers[key] = RollingWriter(*self._arguments)
            writer = _writers[key]
        writer.append(self._chunks)


class _WriteObject(beam.DoFn):  # type: ignore[misc]
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
    with FileSystems.create(path) as file:
        for chunk in chunks:
            file.write(chunk)
        file.close()  # in here: a failed upload must leave by __exit__, which gives it up
