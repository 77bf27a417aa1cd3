"""Avro files: records that the reader of the container has parsed already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.batch.block import Block
from pipeline.batch.names import doubled
from pipeline.batch.payloads import BadRow, JsonRows
from pipeline.errors import RecordError
from pipeline.formats.avro import container, schema
from pipeline.formats.decoder import RowDecoder
from pipeline.formats.format import Format
from pipeline.formats.lookup import Record, kind_of
from pipeline.formats.misfits import misfits
from pipeline.formats.opened_file import OpenedFile, WatchedFile
from pipeline.formats.raw import no_bytes
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey


class AvroDecoder(RowDecoder):
    """Decodes blocks of Avro records."""

    flat_lists = True

    def records(self, block: Block, rows: range) -> list[Record]:
        """See RowDecoder."""
        return [self.record(block, row) for row in rows]

    def record(self, block: Block, row: int) -> Record:
        """See Decoder."""
        assert isinstance(block.payloads, JsonRows)
        found = block.payloads.rows[row]
        if isinstance(found, BadRow):
            raise RecordError("unreadable_value", f"{block.source}, {found.reason}")
        if not isinstance(found, Mapping):
            raise RecordError("not_an_object", f"found {kind_of(found)}, expected a record")
        return found


def _check(
    opened: OpenedFile, record: RecordSpec, pass_through: Sequence[RecordKey]
) -> Iterator[str]:
    """What the schema lacks or has twice."""
    found = container.read_header(WatchedFile(opened.file)).schema
    if schema.name_of(found) != "record":
        raise ValueError(f"holds values of type {schema.name_of(found)}, expected records")
    columns = {field["name"]: field["type"] for field in found["fields"]}
    times = doubled(field["name"] for field in found["fields"])
    for name in record.outer_keys(pass_through):
        if name in times:
            yield f"has {times[name]} fields '{name}'"
    yield from misfits(opened.path, columns, record, pass_through, schema.types_of(found))


AVRO = Format(
    "avro",
    AvroDecoder,
    container.blocks,
    _check,
    extensions=(".avro",),
    splittable=True,
    nests=True,
    compresses_itself=True,
    raw_problem=no_bytes("Avro"),
)
