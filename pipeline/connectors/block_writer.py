"""Writing chunks of lines, or tables, to files that appear whole or not at all.

Beam's own writers do not serve here: ``fileio.WriteToFiles`` logs a failed final rename at debug
level and goes on, which loses the file, and ``WriteToText`` takes one element for each line.

A bundle writes one temporary file. When all bundles are done, one step gives the files of those
that were committed their final names and removes the rest, which bundles left that failed or were
run twice.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import GlobalWindows

from pipeline.connectors.paths import shard_path

_LOGGER = logging.getLogger(__name__)


class TemporaryFile(NamedTuple):
    """A file written by one bundle.

    Attributes:
      path: in the temporary folder of the job.
      size_bytes: as stored.
    """

    path: str
    size_bytes: int


class ChunkFile(Protocol):
    """A file that takes chunks: bytes, or tables."""

    def write(self, chunk: Any, /) -> object:
        """Adds a chunk."""

    def close(self) -> object:
        """Makes sure that all of it is stored."""


def lines_file(path: str) -> ChunkFile:
    """A file of lines, compressed where its name says so."""
    file: ChunkFile = FileSystems.create(path)
    return file


class WriteBlocks(beam.PTransform):  # type: ignore[misc]  # Beam's classes are untyped
    """PCollection of chunks -> files ``<prefix>-00000-of-00003<suffix>`` -> PCollection of paths.

    Every element is a chunk of whole lines (bytes), each with its line end, or what else the kind
    of file takes; the chunks of a bundle follow each other in one file. Without any element there
    is no file. Files of earlier runs stay, unless they have the same name. Not guaranteed: which
    chunks share a file, or their order.

    For bounded collections in the global window.

    Args:
      prefix: path up to the shard number; free of wildcards.
      suffix: end of the file names; one such as ``.jsonl.gz`` compresses files of lines.
      create: makes an empty file at a path.
    """

    def __init__(
        self, prefix: str, suffix: str, create: Callable[[str], ChunkFile] = lines_file
    ) -> None:
        super().__init__()
        self._prefix = prefix
        self._suffix = suffix
        self._create = create
        # Made once, here: all workers and retries of this job, and nobody else, use this folder.
        self._folder = f"{prefix}.tmp-{uuid.uuid4().hex[:12]}"

    def expand(self, chunks: Any) -> Any:
        """Builds the steps write, collect, finalise."""
        return (
            chunks
            | "WriteTemporary"
            >> beam.ParDo(_WriteTemporary(self._folder, self._suffix, self._create))
            | "OneKey" >> beam.WithKeys("files")
            | "Collect" >> beam.GroupByKey()
            | "Values" >> beam.Values()
            | "Finalise" >> beam.FlatMap(finalise, self._prefix, self._suffix, self._folder)
        )


class _WriteTemporary(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str, suffix: str, create: Callable[[str], ChunkFile]) -> None:
        self._folder = folder
        self._suffix = suffix
        self._create = create

    def start_bundle(self) -> None:
        self._path = f"{self._folder}/{uuid.uuid4().hex}{self._suffix}"
        self._file: ChunkFile | None = None

    def process(self, chunk: Any) -> None:
        if self._file is None:
            self._file = self._create(self._path)
        self._file.write(chunk)

    def finish_bundle(self) -> Iterator[Any]:
        if self._file is None:
            return
        self._file.close()
        size = _size_of(self._path)
        if size is None:
            raise OSError(f"{self._path}: is gone right after it was written")
        yield GlobalWindows.windowed_value(TemporaryFile(self._path, size))


def finalise(files: Iterable[TemporaryFile], prefix: str, suffix: str, folder: str) -> list[str]:
    """Moves finished temporary files to their final names and removes the temporary folder.

    May be repeated after it stopped anywhere: a name is always given to the same file, and a file
    that has its name already is left alone.

    Returns:
      the final paths.

    Raises:
      OSError: a file could not be moved; those moved before keep their final names.
    """
    ordered = sorted(files)
    targets = [shard_path(prefix, i, len(ordered), suffix) for i in range(len(ordered))]
    try:
        FileSystems.rename([file.path for file in ordered], targets)
    except BeamIOError as error:
        causes = error.exception_details
        if not causes:
            raise
        for file, target in zip(ordered, targets, strict=True):
            cause = causes.get((file.path, target))
            if cause is not None and not _moved_before(file, target):
                raise OSError(f"{file.path} cannot be moved to {target}: {cause}") from error
    _remove_folder(folder)
    _LOGGER.info("wrote %d files %s-*%s", len(targets), prefix, suffix)
    return targets


def _moved_before(file: TemporaryFile, target: str) -> bool:
    # The size tells our file from one of the same name that an earlier run left.
    return _size_of(file.path) is None and _size_of(target) == file.size_bytes


def _size_of(path: str) -> int | None:
    found = FileSystems.match([path])[0].metadata_list
    return found[0].size_in_bytes if found else None


def _remove_folder(folder: str) -> None:
    if FileSystems.get_filesystem(folder).has_dirs():
        if FileSystems.exists(folder):
            FileSystems.delete([folder])
    else:
        FileSystems.delete([f"{folder}/"])
