"""Reading text files as blocks of lines, so that no line ever is a Beam element of its own.

Large plain files are cut into byte ranges, and only these small range elements are reshuffled;
every worker then reads its ranges itself. A compressed file (.gz, .bz2, .zst, .xz, .deflate, told
by its name) cannot be cut and is streamed by one worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.connectors import lines, paths
from pipeline.connectors.storage_errors import status_of
from pipeline.core.block import Block

DEFAULT_BLOCK_ROWS = 1024

# Beam's GCS reader fetches 16 MiB at a time. The end of a range's last line lies behind the range:
# without this margin it would cost a whole fetch more.
DEFAULT_SPLIT_BYTES = (32 << 20) - (64 << 10)

# Blocks of long lines hold fewer rows: memory is bounded by bytes, too.
_MAX_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class FileRange:
    """The lines of a file that start in ``[start, end)``; all lines if it is compressed."""

    path: str
    start: int
    end: int

    @property
    def compression(self) -> str:
        """How the file is compressed, one of Beam's CompressionTypes."""
        name: str = CompressionTypes.detect_compression_type(self.path)
        return name


class ReadBlocks(beam.PTransform):  # type: ignore[misc]  # Beam's classes are untyped
    """Begin of the pipeline -> PCollection of :class:`Block`, a record for each line.

    A damaged compressed file ends with a block that has no payloads and says where and why; the
    lines before the damage come in the blocks before. The order of blocks is not guaranteed.

    Files are matched when the pipeline starts. A file that is gone when a worker comes to read it
    fails the job, after the runner's retries.

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``, in any storage Beam reaches.
      block_rows: most lines in a block; blocks of long lines have fewer.
      split_bytes: plain files are cut into ranges of this size.
    """

    def __init__(
        self,
        pattern: str,
        block_rows: int = DEFAULT_BLOCK_ROWS,
        split_bytes: int = DEFAULT_SPLIT_BYTES,
    ) -> None:
        super().__init__()
        self._pattern = pattern
        self._block_rows = block_rows
        self._split_bytes = split_bytes

    def expand(self, begin: Any) -> Any:
        """Builds the steps match, split, reshuffle, read."""
        return (
            begin
            | "Pattern" >> beam.Create([self._pattern])
            | "Match" >> beam.FlatMap(paths.match_input)
            | "Split" >> beam.FlatMap(split_file, self._split_bytes)
            | "Reshuffle" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_range, self._block_rows)
        )


def split_file(file: Any, split_bytes: int) -> Iterator[FileRange]:
    """The ranges of one file; none if it is empty.

    Args:
      file: Beam's FileMetadata.
      split_bytes: size of a range of a plain file.
    """
    whole = FileRange(file.path, 0, file.size_in_bytes)
    if whole.compression != CompressionTypes.UNCOMPRESSED:
        split_bytes = max(whole.end, 1)
    for start in range(0, whole.end, split_bytes):
        yield FileRange(file.path, start, min(start + split_bytes, whole.end))


def read_range(part: FileRange, block_rows: int) -> Iterator[Block]:
    """The lines of one range.

    Raises:
      FileNotFoundError: the file is gone.
    """
    count = 0
    with _open(part.path) as file:
        if part.compression == CompressionTypes.UNCOMPRESSED:
            text = lines.text_of_range(file, part.start, part.end)
        else:
            text = lines.decompressed(file, part.compression)
        if part.start == 0:
            text = lines.without_bom(text)
        try:
            for block in lines.in_blocks(lines.split_lines(text), block_rows, _MAX_BLOCK_BYTES):
                count += len(block)
                yield Block(block, part.path)
        except lines.DamagedFileError as damage:
            message = (
                f"{part.path} cannot be read to its end: {damage}; reading stopped at byte "
                f"{damage.text_bytes} of its text, after {count} whole lines"
            )
            yield Block((), part.path, message)


def _open(path: str) -> Any:
    try:
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except Exception as error:
        if status_of(error) != 404:
            raise
        raise FileNotFoundError(
            f"{path}: was there when the input was matched, and is gone now"
        ) from error
