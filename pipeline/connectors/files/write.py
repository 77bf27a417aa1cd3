"""Writing chunks of lines, or tables, to files that appear whole or not at all.

Beam's own writers do not serve here: ``fileio.WriteToFiles`` logs a failed final rename at debug
level and goes on, which loses the file, and ``WriteToText`` takes one element for each line.

A bundle writes one temporary file. When all bundles are done, one step deletes the files of earlier
runs, gives the files of bundles that were committed their final names and removes the rest, which
bundles left that failed or were run twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsList, PCollection
from apache_beam.transforms.window import GlobalWindows

from pipeline.connectors.files.earlier_files import NO_EARLIER_FILES, EarlierFiles
from pipeline.connectors.storage import temporary_folder
from pipeline.connectors.storage.errors import WRITER_ROLE, explain, writing
from pipeline.connectors.storage.paths import shard_path
from pipeline.errors import OutputError
from pipeline.readable import logger
from pipeline.runner import coders
from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.spec.uris import is_local

_LOGGER = logger(__name__)

_STAYS = "what this one wrote stays in"


@dataclass(frozen=True, order=True)
class TemporaryFile:
    """A file written by one bundle.

    Attributes:
      path: in the temporary folder of the job.
      size_bytes: as stored.
    """

    wire_form: ClassVar[str] = "temporary-file/1"

    path: str
    size_bytes: int


coders.register(TemporaryFile)


class ChunkFile(Protocol):
    """A file that takes chunks: bytes, or tables."""

    def write(self, chunk: Any, /) -> object:
        """Adds a chunk."""

    def close(self) -> object:
        """Makes sure that all of it is stored."""


def lines_file(path: str, header: bytes = b"") -> ChunkFile:
    """A file of lines, compressed where its name says so; with a header, that comes first."""
    file: ChunkFile = FileSystems.create(path)
    if header:
        file.write(header)
    return file


@dataclass(frozen=True)
class FileSink:
    """Where chunks of one kind go.

    Attributes:
      name: of the step that writes them.
      prefix: path up to the shard number; free of wildcards.
      suffix: end of the file names; one such as ``.jsonl.gz`` compresses files of lines.
      create: makes an empty file at a path.
    """

    name: str
    prefix: str
    suffix: str
    create: Callable[[str], ChunkFile] = lines_file


class WriteBlocks(PTransform):
    """Tuple of PCollections of chunks, one for each sink -> files -> PCollection of their paths.

    One sink takes a PCollection as well.

    Files are called ``<prefix>-00000-of-00003<suffix>``. Every element is a chunk of whole lines
    (bytes), each with its line end, or what else the kind of file takes; the chunks of a bundle
    follow each other in one file. Without any element there is no file. Not guaranteed: which
    chunks share a file, or their order.

    When all sinks have all they get, the files of earlier runs are deleted and the new ones moved
    to their names. Before that, a job that fails changes nothing that has a final name.

    For bounded collections in the global window.

    Args:
      sinks: where to write.
      earlier: what the launch found under the names of these files.
      after: side inputs that must be complete before a file gets its name.
    """

    def __init__(
        self,
        sinks: Sequence[FileSink],
        earlier: EarlierFiles = NO_EARLIER_FILES,
        after: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        # Made once, here: all workers and retries of this job, and nobody else, use these folders.
        self._sinks = [(sink, temporary_folder.new_folder(sink.prefix)) for sink in sinks]
        self._earlier = earlier
        self._after = after

    @property
    def folders(self) -> list[str]:
        """Where the files are until they have their names."""
        return [folder for _, folder in self._sinks]

    def expand(self, chunks: Any) -> Any:
        """Builds the steps write, finalise."""
        chunks = (chunks,) if isinstance(chunks, PCollection) else chunks
        written = [
            some | sink.name >> beam.ParDo(_WriteTemporary(folder, sink.suffix, sink.create))
            for some, (sink, folder) in zip(chunks, self._sinks, strict=True)
        ]
        places = [(sink.prefix, sink.suffix, folder) for sink, folder in self._sinks]
        # Side inputs wait for all bundles, and the step also runs if there is nothing to move.
        return (
            chunks[0].pipeline
            | "Once" >> beam.Impulse()
            | "Finalise"
            >> beam.FlatMap(
                finalise_all, places, self._earlier, *map(AsList, written), *self._after
            )
        )


class _WriteTemporary(DoFn):
    def __init__(self, folder: str, suffix: str, create: Callable[[str], ChunkFile]) -> None:
        self._folder = folder
        self._suffix = suffix
        self._create = create

    def start_bundle(self) -> None:
        self._path = f"{self._folder}/{uuid.uuid4().hex}{self._suffix}"
        self._file: ChunkFile | None = None

    def process(self, chunk: Any) -> None:
        with writing(self._path):
            if self._file is None:
                self._file = self._create(self._path)
            self._file.write(chunk)

    def finish_bundle(self) -> Iterator[Any]:
        if self._file is None:
            return
        with writing(self._path):
            self._file.close()
            size = _size_of(self._path)
        if size is None:
            raise OutputError(f"'{self._path}' is gone right after it was written")
        yield GlobalWindows.windowed_value(TemporaryFile(self._path, size))


def finalise_all(
    _: bytes,
    places: Sequence[tuple[str, str, str]],
    earlier: EarlierFiles,
    *written: Sequence[TemporaryFile],
) -> list[str]:
    """Replaces the files of earlier runs by those of this one, of all sinks; may be repeated.

    Args:
      _: nothing.
      places: prefix, suffix and temporary folder of each sink.
      earlier: what the launch found.
      written: the temporary files of each sink; then what was only waited for.

    Returns:
      the final paths.

    Raises:
      OutputError: another job has written files of these names since the launch, or a file could
        not be moved.
    """
    moves: dict[str, TemporaryFile] = {}
    for (prefix, suffix, _folder), files in zip(places, written, strict=False):
        moves |= _moves(files, prefix, suffix)
    if strange := [file.path for file in earlier.added() if not _is_ours(file.path, moves)]:
        raise OutputError(
            f"'{strange[0]}' was written while this job ran, by another one with the same prefix; "
            f"{_STAYS} {', '.join(folder for _, _, folder in places)}"
        )
    # The names of new files are left alone, however often this runs: a move replaces what is there.
    earlier.delete(kept=moves)
    for (prefix, suffix, folder), files in zip(places, written, strict=False):
        finalise(files, prefix, suffix, folder)
    return list(moves)


def remove_unfinished(folders: Iterable[str], error: BaseException) -> None:
    """Removes the temporary folders of a job that failed, unless its error says that they stay.

    Args:
      folders: of the job.
      error: what it failed with.
    """
    if _STAYS in str(error):
        return
    for folder in folders:
        try:
            _remove_folder(folder)
        except Exception as problem:  # the job's own error is what has to be told
            _LOGGER.warning("%s could not be removed: %s", folder, problem)


def _moves(files: Iterable[TemporaryFile], prefix: str, suffix: str) -> dict[str, TemporaryFile]:
    """Final path -> the file that goes there, always the same for the same files."""
    ordered = sorted(files)
    return {
        shard_path(prefix, shard, len(ordered), suffix): file for shard, file in enumerate(ordered)
    }


def _is_ours(path: str, moves: Mapping[str, TemporaryFile]) -> bool:
    """Whether a file with a final name was put there by an attempt before this one."""
    file = moves.get(path)
    if file is None:
        return False
    # A bucket cannot move: it copies and then deletes, and an attempt may stop in between.
    return not FileSystems.exists(file.path) or (
        not is_local(path) and FileSystems.checksum(path) == FileSystems.checksum(file.path)
    )


def finalise(files: Iterable[TemporaryFile], prefix: str, suffix: str, folder: str) -> list[str]:
    """Moves finished temporary files to their final names and removes the temporary folder.

    May be repeated after it stopped anywhere: a name is always given to the same file, and a file
    that has its name already is left alone.

    Returns:
      the final paths.

    Raises:
      OutputError: a file could not be moved; those moved before keep their final names, and the
        others stay.
    """
    moves = _moves(files, prefix, suffix)
    try:
        if moves:
            FileSystems.rename([file.path for file in moves.values()], list(moves))
    except BeamIOError as error:
        causes = error.exception_details or {}
        for target, file in moves.items():
            cause = causes.get((file.path, target), None if causes else error)
            if cause is not None and not _moved_before(file, target):
                gone = _size_of(file.path) is None
                why = "it is gone" if gone else explain(target, cause, WRITER_ROLE)
                raise OutputError(
                    f"'{file.path}' cannot be moved to '{target}': {why}; {_STAYS} {folder}, from "
                    "where it can be moved by hand"
                ) from error
    _remove_folder(folder)
    _LOGGER.info("wrote %d files %s-*%s", len(moves), prefix, suffix)
    return list(moves)


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
