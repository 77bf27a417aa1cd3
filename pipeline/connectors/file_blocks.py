"""Reading files as blocks of records, whatever their format.

Large files are cut into byte ranges, and only these small range elements are reshuffled; every
worker then reads its ranges itself. A compressed file (.gz, .bz2, .zst, .xz, .deflate, told by its
name), a CSV and a TFRecord file cannot be cut, and are streamed by one worker each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from pipeline.connectors import paths
from pipeline.connectors.avro_blocks import avro_blocks
from pipeline.connectors.csv_blocks import csv_blocks
from pipeline.connectors.file_ranges import FileRange, split_file
from pipeline.connectors.parquet_blocks import parquet_blocks
from pipeline.connectors.text_blocks import json_blocks
from pipeline.connectors.tfrecord_blocks import tfrecord_blocks
from pipeline.core.block import Block

DEFAULT_BLOCK_ROWS = 1024

# Beam's GCS reader fetches 16 MiB at a time. The end of a range's last line lies behind the range:
# without this margin it would cost a whole fetch more.
DEFAULT_SPLIT_BYTES = (32 << 20) - (64 << 10)


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
      block_rows: most records in a block; blocks of long records have fewer.
      format: of all files, or "auto": each has the format that its name tells. In a folder that
        is watched also "image": each is a record.
      keys: what is read of each record, where a format allows to leave out the rest.
    """

    block_rows: int = DEFAULT_BLOCK_ROWS
    format: str = "auto"
    keys: tuple[str, ...] = ()


class ReadBlocks(beam.PTransform):  # type: ignore[misc]  # Beam's classes are untyped
    """Begin of the pipeline -> PCollection of :class:`Block`.

    What cannot be read of a file ends in a block whose error says where and why; all records before
    the damage, and where the format allows it those behind, come in other blocks. The order of
    blocks is not guaranteed.

    Files are matched when the pipeline starts. A file that is gone when a worker comes to read it
    fails the job, after the runner's retries.

    Args:
      pattern: path with ``*``, ``**``, ``?`` and ``[...]``, in any storage Beam reaches.
      reading: how to read them.
      split_bytes: files are cut into ranges of this size, where they can be.
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
        return (
            begin
            | "Pattern" >> beam.Create([self._pattern])
            | "Match" >> beam.FlatMap(paths.match_input)
            | "Split" >> beam.FlatMap(split_file, self._split_bytes, self._reading.format)
            | "Reshuffle" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_range, self._reading)
        )


def read_range(part: FileRange, reading: Reading) -> Iterator[Block]:
    """The records of one range.

    Raises:
      FileNotFoundError: the file is gone.
    """
    if part.format in ("parquet", "avro") and part.compressed:
        message = (
            f"{part.path}: {part.format.capitalize()} files compress their data themselves; one "
            "that is compressed once more cannot be read"
        )
        yield Block((), part.path, message, format=part.format)
        return
    match part.format:
        case "jsonl":
            yield from json_blocks(part, reading.block_rows)
        case "csv":
            yield from csv_blocks(part, reading.block_rows)
        case "parquet":
            yield from parquet_blocks(part, reading.block_rows, reading.keys)
        case "avro":
            yield from avro_blocks(part, reading.block_rows)
        case "tfrecord":
            yield from tfrecord_blocks(part, reading.block_rows)
