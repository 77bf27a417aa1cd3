"""Records of Avro files."""

from __future__ import annotations

from typing import Any, cast

from pipeline.core.block import Block
from pipeline.core.decode import RowDecoder
from pipeline.core.payloads import JsonRows


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
