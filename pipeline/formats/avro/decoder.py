"""Records of Avro files."""

from __future__ import annotations

from typing import Any, cast

from pipeline.batch.block import Block
from pipeline.batch.payloads import JsonRows
from pipeline.formats.decoder import RowDecoder


class AvroDecoder(RowDecoder):
    """Decodes blocks of Avro records, which the reader of the file has parsed already."""

    flat_lists = True

    def records(self, block: Block, rows: range) -> list[dict[str, Any]]:
        """See RowDecoder."""
        return [self.record(block, row) for row in rows]

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        assert isinstance(block.payloads, JsonRows)
        return cast(dict[str, Any], block.payloads.rows[row])
