"""Reading Parquet files as blocks that stay columns.

A file is a sequence of row groups, with an index at its end. Ranges of bytes divide them among the
workers: that range reads a row group in which the middle of its data lies. So no index is read
before the files are spread over the workers. Of the columns only those are read that the ensemble
needs.

Source: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.connectors.file_ranges import FileRange, WatchedFile, open_file
from pipeline.core.block import Block
from pipeline.core.payloads import ArrowRows


def parquet_blocks(part: FileRange, block_rows: int, keys: Sequence[str]) -> Iterator[Block]:
    """The rows of the row groups of a range.

    Args:
      part: a range.
      block_rows: most rows in a block.
      keys: the columns to read; those that the file lacks are for the decoder to complain about.

    Raises:
      FileNotFoundError: the file is gone.
    """
    with open_file(part.path) as opened:
        file = WatchedFile(opened)
        try:
            parquet = read_index(file)
        except ValueError as error:
            if part.start == 0:
                yield Block((), part.path, f"{part.path}: {error}", format="parquet")
            return
        names = [name for name in parquet.schema_arrow.names if name in keys]
        first = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if part.start <= _middle(parquet.metadata.row_group(group)) < part.end:
                yield from _row_group(parquet, file, part.path, group, first, block_rows, names)
            first += rows


def read_index(file: WatchedFile) -> pq.ParquetFile:
    """A Parquet file whose index has been read.

    Raises:
      ValueError: it is none.
    """
    try:
        return pq.ParquetFile(file, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        file.raise_failure()
        raise ValueError(f"is not a Parquet file: {_reason(error)}") from error


def _row_group(
    parquet: pq.ParquetFile,
    file: WatchedFile,
    path: str,
    group: int,
    first: int,
    block_rows: int,
    names: Sequence[str],
) -> Iterator[Block]:
    """The rows of one row group, and a block that says so if it cannot be read to its end."""
    behind = first + parquet.metadata.row_group(group).num_rows
    if not names:  # Arrow would give no rows, and each must be accounted for
        names = parquet.schema_arrow.names[:1]
    tables = parquet.iter_batches(block_rows, row_groups=[group], columns=names, use_threads=False)
    while True:
        try:
            table = next(tables, None)
        except (pa.ArrowException, OSError) as error:
            file.raise_failure()
            message = f"{path}, rows {first} to {behind - 1}: cannot be read: {_reason(error)}"
            yield Block((), path, message, format="parquet")
            return
        if table is None:
            return
        yield Block(ArrowRows(table), path, format="parquet", first=first)
        first += table.num_rows


def _middle(group: pq.RowGroupMetaData) -> int:
    """The byte in the middle of a row group's data."""
    columns = [group.column(i) for i in range(group.num_columns)]
    starts = [
        c.data_page_offset if c.dictionary_page_offset is None else c.dictionary_page_offset
        for c in columns
    ]
    ends = [start + c.total_compressed_size for start, c in zip(starts, columns, strict=True)]
    return int(min(starts) + max(ends)) // 2


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
