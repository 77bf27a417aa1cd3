"""Reading files as blocks of records, whatever their format.

Large files are cut into byte ranges, and only these small range elements are reshuffled; every
worker then reads its ranges itself. A compressed file, told by its first bytes or its name (.gz,
.bz2, .zst, .xz, .deflate), and one of a format without places to cut, are streamed by one worker
each.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from typing import Any

import apache_beam as beam

from pipeline.batch.block import Block
from pipeline.connectors.files.ahead import read_ahead
from pipeline.connectors.files.ranges import (
    FileRange,
    UnservedObjectError,
    opened,
    outgrown,
    split_file,
)
from pipeline.connectors.files.whole_files import match_groups, read_group
from pipeline.connectors.storage import paths
from pipeline.formats import looks
from pipeline.formats.format import Reading
from pipeline.formats.registry import format_named, format_of
from pipeline.runner.beam_types import PTransform

# Beam's GCS reader fetches 16 MiB at a time. The end of a range's last line lies behind the range:
# without this margin it would cost a whole fetch more.
DEFAULT_SPLIT_BYTES = (32 << 20) - (64 << 10)
_AHEAD_FROM_BYTES = 1 << 20
"""A smaller range is a block or few, and one fetch: a thread for it costs more than it saves."""


class ReadBlocks(PTransform):
    """Start of the pipeline -> PCollection of :class:`Block`, of records in files or of images.

    What cannot be read of a file ends in a block whose error says where and why; all records before
    the damage, and where the format allows it those behind, come in other blocks. The order of
    blocks is not guaranteed.

    Files are matched when the pipeline starts. A file that is gone when a worker comes to read it
    fails the job, after the runner's retries.

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``, in any storage Beam reaches.
      reading: how to read them.
      split_bytes: files are cut into ranges of at most this size, where they can be.
    """

    def __init__(
        self,
        pattern: str,
        reading: Reading | None = None,
        split_bytes: int = DEFAULT_SPLIT_BYTES,
    ) -> None:
        super().__init__()
        self._pattern = pattern
        self._reading = reading or Reading()
        self._split_bytes = split_bytes

    def expand(self, begin: Any) -> Any:
        """Builds the steps match, split, reshuffle, read."""
        pattern = begin | "Pattern" >> beam.Create([self._pattern])
        if format_of(self._pattern, self._reading.format).blocks is None:
            return (
                pattern
                | "Match" >> beam.FlatMap(match_groups, self._reading.block_rows)
                | "Reshuffle" >> beam.Reshuffle()
                | "Read" >> beam.FlatMap(read_group).with_output_types(Block)
            )
        return (
            pattern
            | "Match" >> beam.FlatMap(paths.match_input)
            | "Split"
            >> beam.FlatMap(
                split_file,
                self._split_bytes,
                self._reading.format,
                begin.pipeline.options,
                self._reading.record,
            )
            | "Reshuffle" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read, self._reading).with_output_types(Block)
        )


def _read(part: FileRange, reading: Reading) -> Iterator[Block]:
    blocks = read_range(part, reading)
    return read_ahead(blocks) if part.end - part.start > _AHEAD_FROM_BYTES else blocks


def read_range(part: FileRange, reading: Reading) -> Generator[Block]:
    """The records of one range, of a format whose files hold several.

    A file that is shorter than its range says ends in a block that says so.

    Raises:
      FileNotFoundError: the file is gone.
    """
    form = format_named(part.format)
    assert form.blocks is not None
    try:
        with opened(part) as file:
            if form.compresses_itself and file.compression:
                problem = (
                    f"{form.name.capitalize()} files compress their data themselves; one that is "
                    "compressed once more cannot be read"
                )
            else:
                problem = looks.foreign(
                    file.head, form.name, reading.encoding(form.name), raw=reading.is_raw
                ) or outgrown(part, file, reading)
            if problem:
                yield Block((), part.path, f"{part.path}: {problem}", format=form.name)
                return
            yield from form.blocks(file, reading)
            size = file.file.seek(0, io.SEEK_END)
    except UnservedObjectError as error:
        yield Block((), part.path, f"{part.path}: {error}", format=form.name)
        return
    if size < part.end:
        message = (
            f"{part.path}: had {part.end:,} bytes or more when the input was matched, and {size:,} "
            "when it was read: it was cut or replaced meanwhile, and is not whole"
        )
        yield Block((), part.path, message, format=form.name)
