"""Parquet files, whose rows arrive as columns and stay so.

A file is a sequence of row groups, with an index at its end. Ranges of bytes divide them among the
workers: that range reads a row group in which the middle of its data lies. So no index is read
before the files are spread over the workers. Of the columns only those are read that the ensemble
needs.

Source: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch.arrow_values import plain_values
from pipeline.batch.batch import RecordId
from pipeline.batch.block import Block
from pipeline.batch.payloads import ArrowRows
from pipeline.errors import RecordError
from pipeline.formats import arrow_columns
from pipeline.formats.decoder import Decoder, Part
from pipeline.formats.fields import IrregularError
from pipeline.formats.format import Format, Reading
from pipeline.formats.ids import regular_ids
from pipeline.formats.misfits import misfits
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.parquet import footer
from pipeline.formats.parquet.checked_file import CheckedFile, SwollenPagesError
from pipeline.formats.parquet.footer import RowGroup
from pipeline.formats.raw import no_bytes
from pipeline.spec.record import RecordSpec

_MOST_SWELLING = 1000
"""Bytes of memory for a stored byte: what repeats without end compresses better than anybody's
records, and one of its rows may be as large as all together."""


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
            part.ids = regular_ids(plain_values(_column(table, self._id)))
        if self._pass_through:
            names = [name for name in self._pass_through if name in table.schema.names]
            values = {name: plain_values(_column(table, name)) for name in names}
            part.extras = list(
                self.extras({name: values[name][i] for name in names} for i in range(len(rows)))
            )
        return part

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        names = _rows(block).table.schema.names
        for name in (*self._fields, *filter(None, [self._id]), *self._pass_through):
            if names.count(name) > 1:
                raise RecordError("doubled_column", _twice(names, name))
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
    if table.schema.names.count(name) != 1:
        raise IrregularError
    return table.column(name)


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The rows of the row groups of a range; columns that it lacks are for the decoder to tell."""
    path, file = opened.path, CheckedFile(opened.file)
    try:
        index = _Index(file)
    except ValueError as error:
        if opened.start == 0:
            yield Block((), path, f"{path}: {error}", format="parquet")
        return
    names = index.names(reading.keys_in(index.schema.names))
    first = 0
    for number, group in enumerate(index.groups):
        behind = first + group.rows
        if opened.start <= group.middle < opened.end:
            try:
                rows = _batch_rows(group, names, reading)
                for table in index.tables(number, rows, names):
                    yield Block(ArrowRows(table), path, format="parquet", first=first)
                    first += table.num_rows
            except ValueError as error:
                message = f"{path}, rows {first} to {behind - 1}: cannot be read: {error}"
                yield Block((), path, message, format="parquet", lost=behind - first)
        first = behind


def _check(opened: OpenedFile, record: RecordSpec, pass_through: Sequence[str]) -> Iterator[str]:
    """What the schema lacks or has twice."""
    index = _Index(CheckedFile(opened.file))
    names = index.schema.names
    for name in dict.fromkeys([*record.fields, *pass_through, *filter(None, [record.id])]):
        if names.count(name) > 1:
            yield _twice(names, name)
    found = dict(zip(index.schema.names, index.schema.types, strict=True))
    yield from misfits(found, record, arrow_columns.fits, arrow_columns.id_fits)


class _Index:
    """A Parquet file whose index has been read.

    Attributes:
      schema: its columns.
      groups: its row groups.

    Raises:
      ValueError: it is none.
    """

    def __init__(self, file: CheckedFile) -> None:
        self._file = file
        try:
            self.groups = footer.row_groups(file)
            self._parquet = pq.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            file.raise_failure()
            raise ValueError(f"is not a Parquet file: {_reason(error)}") from error
        self.schema: pa.Schema = self._parquet.schema_arrow

    def names(self, keys: Collection[str] | None) -> list[str]:
        """The columns that are read."""
        found = list(dict.fromkeys(self.schema.names))
        names = [name for name in found if keys is None or name in keys]
        # Without a column Arrow would give no rows, and each must be accounted for.
        return names or found[:1]

    def tables(self, group: int, rows: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a row group, some at a time.

        Raises:
          ValueError: the rows from here on cannot be read.
        """
        missing = self.groups[group].rows
        self._file.expect(chunk for chunk in self.groups[group].chunks if chunk.column in names)
        tables = self._parquet.iter_batches(
            rows, row_groups=[group], columns=names, use_threads=False
        )
        while True:
            try:
                table = next(tables, None)
            except (pa.ArrowException, OSError, SwollenPagesError) as error:
                self._file.raise_failure()
                raise ValueError(_reason(error)) from error
            if table is None:
                break
            missing -= table.num_rows
            yield table
        if missing:
            raise ValueError(f"{missing} rows fewer than the index says")


def _twice(names: Sequence[str], name: str) -> str:
    return f"has {names.count(name)} columns '{name}'"


def _batch_rows(group: RowGroup, names: Collection[str], reading: Reading) -> int:
    """How many rows of a group are read at a time, so that memory holds them.

    Raises:
      ValueError: that cannot be made sure of.
    """
    chunks = [chunk for chunk in group.chunks if chunk.column in names]
    most, made = reading.max_chunk_bytes, sum(chunk.value_bytes for chunk in chunks)
    if made <= most:
        return reading.block_rows
    uneven = [chunk for chunk in chunks if not chunk.even]
    stored, swollen = sum(c.stored_bytes for c in uneven), sum(c.value_bytes for c in uneven)
    row_bytes = made // max(group.rows, 1)
    if row_bytes > reading.max_record_bytes or swollen > max(most, _MOST_SWELLING * stored):
        raise ValueError(
            f"{stored or made:,} bytes of these rows become {swollen or made:,} in memory; larger "
            f"rows are read with a larger --max_record_bytes (now {reading.max_record_bytes:,})"
        )
    return max(1, min(reading.block_rows, most // row_bytes))


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
