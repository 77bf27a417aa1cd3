"""The records in a block of an Avro container.

A block is decoded as a whole, by fastavro. Where that fails, the records are decoded one by one,
and of those only the columns that are used: a value that cannot be made costs its record alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, cast

import fastavro

from pipeline.batch.arrow_values import reason
from pipeline.batch.names import doubled
from pipeline.batch.payloads import BadRow
from pipeline.formats.avro.extent import Extents
from pipeline.formats.format import Reading

Row = Mapping[str, Any] | BadRow

# A block with more records or bytes is decoded record by record: of a byte that is a record, Python
# makes some hundred, and of one that is a number some ten.
_AT_ONCE_RECORDS = 1 << 18
_AT_ONCE_BYTES = 4 << 20
_AT_ONCE_SWELLING_BYTES = 1 << 18
_MOST_SWELLING = 16
_MOST_EMPTY_RECORDS = 1 << 20
_SHOWN_BYTES = 1 << 20


class DamagedError(Exception):
    """A block that cannot be read.

    Attributes:
      records: how many it holds, as far as it says.
    """

    def __init__(self, message: str, records: int = 0) -> None:
        self.records = records
        super().__init__(message)


class RecordReader:
    """Decodes the records of the blocks of one container.

    Args:
      schema: of the records, parsed.
      marker: what stands behind each block.
      reading: which columns are used, and how large a record may be.
      path: of the container's file.

    Raises:
      ValueError: the schema cannot be used.
    """

    def __init__(self, schema: Any, marker: bytes, reading: Reading, path: str) -> None:
        self._schema = schema
        self._marker = marker
        self._most = reading.max_record_bytes
        self._most_memory = _MOST_SWELLING * reading.max_record_bytes
        try:
            self._extents = Extents(schema, 4 * self._most_memory)
            self._used = _projection(schema, reading.keys_in(path, _names(schema)))
            self._doubled = _doubled(schema, reading.keys)
            header = io.BytesIO()
            fastavro.writer(header, schema, [], sync_marker=marker)
        except Exception as error:  # whatever a schema from outside leads a library to
            raise ValueError(f"its Avro schema cannot be used: {reason(error)}") from error
        self._header = header.getvalue()

    def records(self, count: int, data: bytes) -> Iterator[Row]:
        """The records of a block.

        Args:
          count: how many, as the block says.
          data: their bytes, unpacked.

        Raises:
          DamagedError: before the first record: these are not so many records.
        """
        most = _AT_ONCE_SWELLING_BYTES if self._extents.swells else _AT_ONCE_BYTES
        rows = None
        plain = self._extents.is_plain and not self._doubled
        if plain and len(data) <= most and count <= _AT_ONCE_RECORDS:
            rows = self._at_once(count, data)
        yield from self._one_by_one(count, data) if rows is None else rows

    def _at_once(self, count: int, data: bytes) -> list[Row] | None:
        """The records, if they can all be made and are all that there is."""
        block = (
            self._header + encoded_number(count) + encoded_number(len(data)) + data + self._marker
        )
        try:
            found: Any = next(fastavro.block_reader(io.BytesIO(block)))
            rows = cast(list[Row], list(found))
        except Exception:  # whatever its bytes lead a library to; told by record
            return None
        return rows if found.bytes_.tell() == len(data) else None

    def _one_by_one(self, count: int, data: bytes) -> Iterator[Row]:
        ends: list[tuple[int, int]] = []
        at = 0
        try:
            if count > max(len(data), _MOST_EMPTY_RECORDS):
                raise ValueError(f"{len(data)} bytes cannot be so many")
            for _ in range(count):
                at, memory = self._extents.end(data, at)
                ends.append((at, memory))
            if at != len(data):
                raise ValueError("there is more than these records")
        except ValueError as error:
            raise DamagedError(f"a block of {count} records is damaged: {error}", count) from error
        begin = 0
        for i, (end, memory) in enumerate(ends):
            yield self._record(data[begin:end], memory, f"record {i} of a block of {count}")
            begin = end

    def _record(self, data: bytes, memory: int, where: str) -> Row:
        if len(data) > self._most or memory > self._most_memory:
            words = f"{where} has {len(data):,} bytes, which take about {memory:,} of memory"
            words = f"{words}; a larger --max_record_bytes (now {self._most:,}) reads it"
            return BadRow(words, data[:_SHOWN_BYTES])
        if self._doubled:
            return BadRow(f"{where}: {self._doubled}", data[:_SHOWN_BYTES])
        try:
            found = fastavro.schemaless_reader(io.BytesIO(data), self._schema, self._used)
        except Exception as error:  # whatever its bytes lead a library to
            return BadRow(f"{where}: {reason(error)}", data[:_SHOWN_BYTES])
        return cast(Row, found)


def _names(schema: Any) -> list[str]:
    """The names of the columns; none where values are no records."""
    is_record = isinstance(schema, dict) and schema["type"] == "record"
    return [field["name"] for field in schema["fields"]] if is_record else []


def _doubled(schema: Any, keys: tuple[str, ...] | None) -> str:
    """Which used column there is twice, in words; of its values the last would win."""
    used = None if keys is None else set(keys)
    for name, times in doubled(_names(schema)).items():
        if used is None or name in used:
            return f"the schema has {times} fields '{name}'"
    return ""


def _projection(schema: Any, keys: tuple[str, ...] | None) -> Any:
    """The schema of the used columns; None for all, and where one refers to a type of another."""
    if keys is None or not isinstance(schema, dict) or schema["type"] != "record":
        return None
    wanted = set(keys)
    fields = [field for field in schema["fields"] if field["name"] in wanted]
    used = {"type": "record", "name": schema["name"], "fields": fields}
    try:
        fastavro.parse_schema(used)
    except fastavro.schema.UnknownType:
        return None
    return used


def encoded_number(value: int) -> bytes:
    """A number of no sign as a zigzag varint."""
    value <<= 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
