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
from pipeline.batch.columns import BatchColumn
from pipeline.batch.names import doubled
from pipeline.batch.payloads import ArrowRows, plain_value
from pipeline.errors import RecordError
from pipeline.formats import arrow_columns
from pipeline.formats.decoder import Decoder, Part, record_id_in
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.formats.format import Format, Reading
from pipeline.formats.ids import regular_ids
from pipeline.formats.lookup import Record
from pipeline.formats.misfits import misfits, times
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.parquet import footer
from pipeline.formats.parquet.checked_file import CheckedFile
from pipeline.formats.parquet.dictionary import written_out
from pipeline.formats.parquet.room import NoRoomError, Room
from pipeline.formats.raw import no_bytes
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey, RecordKey, outer_keys


class ParquetDecoder(Decoder):
    """Decodes record batches. A record without id field is named by its file and row."""

    flat_lists = True

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey] = ()) -> None:
        super().__init__(record, pass_through)
        self._outer = record.outer_keys(pass_through)
        read: list[Key] = [*self._fields, *self._pass_through, *([self._id] if self._id else [])]
        self._paths = [key for key in dict.fromkeys(read) if isinstance(key, PathKey)]
        whole = {outer for key in read if not isinstance(key, PathKey) for outer in outer_keys(key)}
        needed = {key for key, field in self._fields.items() if not field.keeps_missing}
        self._optional = {*read} - needed - {self._id}
        self._told_of: tuple[pa.Schema | None, str] = None, ""
        self._only_inside = {key.path[0] for key in self._paths} - whole

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        table, given = _rows(block).table.slice(rows.start, len(rows)), self.given(block)
        if self._times_in(table.schema):
            raise IrregularError
        of_path = {key: [given[key]] * len(rows) for key in given.keys() - {*table.schema.names}}
        for key, values in of_path.items():
            table = table.append_column(str(key), pa.array(values))
        part = Part(rows)
        for key, decoder in self._fields.items():
            part.columns[key] = _column(table, key, decoder)
        if self._id is None:
            part.ids = [self.id_of(block, row) for row in rows]
        else:
            part.ids = regular_ids(of_path.get(self._id) or plain_values(_array(table, self._id)))
        if self._pass_through:
            repeated = {
                key: of_path.get(key) or _repeated(table, key) for key in self._pass_through
            }
            part.extras = list(
                self.extras({key: repeated[key][i] for key in repeated} for i in range(len(rows)))
            )
        return part

    def record(self, block: Block, row: int) -> Record:
        """See Decoder."""
        table = _rows(block).table
        for name in self._outer:
            if count := _times_doubled(table.schema, name):
                raise RecordError("doubled_column", _twice(name, count))
        if says := self._times_in(table.schema):
            raise RecordError("wrong_type", says)
        found: dict[Any, Any] = {}
        unread = set(self._only_inside)
        for key in self._paths:
            # Only what is read: what stands beside it need not be anything that can be read.
            try:
                array = _array(table.slice(row, 1), key, optional=key in self._optional)
                found[key] = None if array is None else plain_value(str(key), array)
            except IrregularError:
                unread.discard(key.path[0])  # whoever looks for it tells what is wrong
        return found | _rows(block).row(row, unread)

    def _times_in(self, schema: pa.Schema) -> str:
        """Which column of a block cannot be read, as it holds times; empty if none does."""
        if self._told_of[0] != schema:
            found = dict(zip(schema.names, schema.types, strict=True))
            says = next(times(found, self._declared, arrow_columns.TYPES), "")
            self._told_of = schema, says
        return self._told_of[1]

    def id_of(self, block: Block, row: int) -> RecordId:
        """The file's path and the number of the row in it."""
        return f"{block.source}:{block.first + row}"

    def id_of_unread(self, block: Block, row: int) -> RecordId:
        """See Decoder; of a file that has another column twice, or times in one."""
        assert self._id is not None
        told = dict(self.given(block))
        array = _array(_rows(block).table.slice(row, 1), self._id, optional=self._id in told)
        if array is not None:
            told[self._id] = plain_value(str(self._id), array)
        return record_id_in(told, self._id)

    def where(self, block: Block, row: int) -> str:
        """See Decoder."""
        return f"{block.source}, row {block.first + row}: "


def _rows(block: Block) -> ArrowRows:
    assert isinstance(block.payloads, ArrowRows)
    return block.payloads


def _array(table: pa.RecordBatch, key: RecordKey, *, optional: bool = False) -> Any:
    """The values under a key, or at the end of a path; None if optional ones are not there.

    Raises:
      IrregularError: there is not one such column.
    """
    name, *path = key.path if isinstance(key, PathKey) else (key,)
    numbers = table.schema.get_all_field_indices(name)
    if optional and not numbers:
        return None
    found = arrow_columns.at_path(table.column(numbers[0]), path) if len(numbers) == 1 else None
    if found is None and not (optional and len(numbers) == 1):
        raise IrregularError
    return found


def _column(table: pa.RecordBatch, key: Key, decoder: FieldDecoder) -> BatchColumn:
    kept = decoder.keeps_missing
    if isinstance(key, ColumnsKey):
        arrays = [_array(table, name, optional=kept) for name in key.names]
        nothing = pa.nulls(table.num_rows)
        return arrow_columns.together([nothing if a is None else a for a in arrays], decoder)
    array = _array(table, key, optional=kept)
    if array is None:
        return decoder.column([None] * table.num_rows)
    return arrow_columns.column(array, decoder)


def _repeated(table: pa.RecordBatch, key: RecordKey) -> list[Any]:
    array = _array(table, key, optional=True)
    return [None] * table.num_rows if array is None else plain_values(array)


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The rows of the row groups of a range; columns that it lacks are for the decoder to tell."""
    path, file = opened.path, CheckedFile(opened.file)
    try:
        index = _Index(file)
    except ValueError as error:
        if opened.start == 0:
            yield Block((), path, f"{path}: {error}", format="parquet")
        return
    names = index.names(reading.keys_in(path, index.schema.names))
    first = 0
    for number, group in enumerate(index.groups):
        behind = first + group.rows
        if group.rows and opened.start <= group.middle < opened.end:
            try:
                for table in index.tables(number, names, reading):
                    rows = ArrowRows(index.with_enum_texts(table))
                    yield Block(rows, path, format="parquet", first=first)
                    first += table.num_rows
            except ValueError as error:
                message = f"{path}, rows {first} to {behind - 1}: cannot be read: {error}"
                yield Block((), path, message, format="parquet", lost=behind - first)
        first = behind


def _check(
    opened: OpenedFile, record: RecordSpec, pass_through: Sequence[RecordKey]
) -> Iterator[str]:
    """What the schema lacks or has twice."""
    index = _Index(CheckedFile(opened.file))
    for name in record.outer_keys(pass_through):
        if count := _times_doubled(index.schema, name):
            yield _twice(name, count)
    found = dict(zip(index.schema.names, index.schema.types, strict=True))
    yield from misfits(opened.path, found, record, pass_through, arrow_columns.TYPES)


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
        self._source = pa.PythonFile(file, "r")  # which lets one thread read at a time
        try:
            self.groups = footer.row_groups(file)
            self._parquet = pq.ParquetFile(self._source, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            file.raise_failure()
            raise ValueError(f"is not a Parquet file that can be read: {_reason(error)}") from error
        self.schema: pa.Schema = self._parquet.schema_arrow
        leaves = [self._parquet.schema.column(i) for i in range(len(self._parquet.schema))]
        self._levels = [(e.max_repetition_level, e.max_definition_level) for e in leaves]
        self._enums = {leaf.path for leaf in leaves if leaf.logical_type.type == "ENUM"}

    def names(self, keys: Collection[str] | None) -> list[str]:
        """The columns that are read."""
        found = list(dict.fromkeys(self.schema.names))
        wanted = {*(found if keys is None else keys)}
        names = [name for name in found if name in wanted]
        # Without a column Arrow would give no rows, and each must be accounted for.
        return names or found[:1]

    def with_enum_texts(self, table: pa.RecordBatch) -> pa.RecordBatch:
        """A table, its symbols of enums text as in Avro; Arrow takes them for bytes."""
        for i, name in enumerate(table.schema.names):
            if name in self._enums and pa.types.is_binary(table.schema.types[i]):
                table = table.set_column(i, name, table.column(i).view(pa.string()))
        return table

    def tables(
        self, number: int, names: Sequence[str], reading: Reading
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a row group, some at a time.

        Raises:
          ValueError: the rows from here on cannot be read.
        """
        group = self.groups[number]
        missing = group.rows
        wanted = {*names}
        chunks = {i: chunk for i, chunk in enumerate(group.chunks) if chunk.column in wanted}
        room = Room(group, chunks, self._levels, reading)
        self._file.expect(chunks, room)
        tables, left = self._tables(number, names, room), []
        while True:
            try:
                table = next(tables, None)
            except NoRoomError as error:
                if missing < group.rows:
                    raise ValueError("its index is damaged: a column comes late") from error
                # Arrow may still read for those that it leaves: they stay until it has.
                left.append(tables)
                tables = self._tables(number, names, room)
                continue
            except (pa.ArrowException, OSError, ValueError) as error:
                self._file.raise_failure()
                raise ValueError(_reason(error)) from error
            if table is None:
                break
            missing -= table.num_rows
            if room.by_number:
                yield from written_out(table, self._schema_of(names, table), reading)
            else:
                yield table
        if missing:
            raise ValueError(f"{missing} rows fewer than the index says")

    def _tables(self, number: int, names: Sequence[str], room: Room) -> Iterator[pa.RecordBatch]:
        room.begin()
        parquet = self._parquet
        if room.by_number:
            found = [parquet.schema.column(leaf).path for leaf in range(len(parquet.schema))]
            paths = [found[leaf] for leaf in room.by_number]
            counts = doubled(found)
            if twice := next((path for path in paths if path in counts), None):
                raise ValueError(_twice(twice, counts[twice]))
            parquet = pq.ParquetFile(
                self._source,
                metadata=parquet.metadata,
                read_dictionary=paths,
                page_checksum_verification=True,
            )
        tables: Iterator[pa.RecordBatch] = parquet.iter_batches(
            room.rows, row_groups=[number], columns=names, use_threads=False
        )
        return tables

    def _schema_of(self, names: Sequence[str], table: pa.RecordBatch) -> pa.Schema:
        """What a table would have if no text was read by number."""
        wanted = {*names}
        fields = [field for field in self.schema if field.name in wanted]
        return pa.schema(fields, table.schema.metadata)


def _times_doubled(schema: pa.Schema, name: str) -> int:
    """How many columns have a name, if it is not one; 0 if it is, or none."""
    count = len(schema.get_all_field_indices(name))
    return count if count > 1 else 0


def _twice(name: str, count: int) -> str:
    return f"has {count} columns '{name}'"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())


PARQUET = Format(
    "parquet",
    ParquetDecoder,
    _blocks,
    _check,
    extensions=(".parquet", ".pq"),
    splittable=True,
    nests=True,
    compresses_itself=True,
    appends=False,
    raw_problem=no_bytes("Parquet"),
)
