"""Rows of Parquet files, which arrive and leave as columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.core import arrow_columns
from pipeline.core.batch import RecordId
from pipeline.core.block import Block
from pipeline.core.decode import Decoder, Part
from pipeline.core.fields import IrregularError
from pipeline.core.payloads import ArrowRows


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
