"""Parquet files, whose rows arrive as columns and stay so.

A file is a sequence of row groups, with an index at its end. Ranges of bytes divide them among the
workers: that range reads a row group in which the middle of its data lies. So no index is read
before the files are spread over the workers. Of the columns only those are read that the ensemble
needs.

Source: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch.batch import RecordId
from pipeline.batch.block import Block
from pipeline.batch.payloads import ArrowRows
from pipeline.formats import arrow_columns
from pipeline.formats.decoder import Decoder, Part
from pipeline.formats.fields import IrregularError
from pipeline.formats.format import Format, Reading
from pipeline.formats.misfits import misfits
from pipeline.formats.opened_file import OpenedFile, WatchedFile
from pipeline.formats.raw import no_bytes
from pipeline.spec.record import RecordSpec


class ParquetDecoder(Decoder):
    """Decodes record batches. A record without id field is named by its file and row."""

    flat_lists = True

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        table = _rows(block).table.slice(rows.start, len(rows))
        part = Part(rows)
        for name, decoder in self._fields.items():
            part.columns[name] = arrow_columns.column(_column(table, name), decoder)
        if self._id is None:
            part.ids = [self.id_of(block, row) for row in rows]
        else:
            part.ids = _column(table, self._id).to_pylist()
            if set(map(type, part.ids)) - {str, int}:
                raise IrregularError
        if self._pass_through:
            repeated = [name for name in self._pass_through if name in table.schema.names]
            part.extras = list(self.extras(table.select(repeated).to_pylist()))
        return part

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        return _rows(block).row(row)

    def id_of(self, block: Block, row: int) -> RecordId:
        """The file's path and the number of the row in it."""
        return f"{block.source}:{block.first + row}"

    def where(self, block: Block, row: int) -> str:
        """See Decoder."""
        return f"{block.source}, row {block.first + row}: "


def _rows(block: Block) -> ArrowRows:
    assert isinstance(block.payloads, ArrowRows)
    return block.payloads


def _column(table: pa.RecordBatch, name: str) -> pa.Array:
    if name not in table.schema.names:
        raise IrregularError
    return table.column(name)


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The rows of the row groups of a range; columns that it lacks are for the decoder to tell."""
    path, keys, file = opened.path, reading.keys, WatchedFile(opened.file)
    try:
        parquet = _read_index(file)
    except ValueError as error:
        if opened.start == 0:
            yield Block((), path, f"{path}: {error}", format="parquet")
        return
    names = [name for name in parquet.schema_arrow.names if keys is None or name in keys]
    first = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if opened.start <= _middle(parquet.metadata.row_group(group)) < opened.end:
            yield from _row_group(parquet, file, path, group, first, reading.block_rows, names)
        first += rows


def _check(opened: OpenedFile, record: RecordSpec) -> Iterator[str]:
    """What the schema lacks."""
    schema = _read_index(WatchedFile(opened.file)).schema_arrow
    found = {name: schema.field(name).type for name in schema.names}
    yield from misfits(found, record, arrow_columns.fits)


def _read_index(file: WatchedFile) -> pq.ParquetFile:
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


PARQUET = Format(
    "parquet",
    ParquetDecoder,
    _blocks,
    _check,
    extensions=(".parquet", ".pq"),
    splittable=True,
    compresses_itself=True,
    raw_problem=no_bytes("Parquet"),
)
