"""Records that nobody decodes here: a model, or whoever wrote it, knows what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core.block import Block
from pipeline.core.decode import Decoder, Part, payload_hash
from pipeline.core.fields import IrregularError
from pipeline.core.formats import Format
from pipeline.core.record_spec import RecordSpec
from pipeline.errors import RecordError

RAW_FORMATS: tuple[Format, ...] = ("jsonl", "tfrecord")
"""Those whose records are bytes by themselves: a line, a message."""


def no_payload(found: Format) -> str:
    """Why the records of a format cannot be handed over whole, and what to do instead."""
    if found == "csv":
        return (
            "with `source: raw`, found CSV, whose rows mean something with their header only; "
            "expected lines (--input_format=jsonl takes every line as it is) or TFRecord"
        )
    return (
        f"with `source: raw`, found {found.capitalize()}, whose records have no bytes of their "
        "own; expected lines or TFRecord, or without `source` a field of dtype bytes: a column"
    )


class RawDecoder(Decoder):
    """Hands each payload over as the one field of the record; its hash is the id.

    Payloads are lines, TFRecord's and Pub/Sub's messages. Records of other formats are rejects.
    """

    def __init__(self, record: RecordSpec, pass_through: Sequence[str] = ()) -> None:
        super().__init__(record, pass_through)
        (self._name,) = record.fields

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        if block.format not in RAW_FORMATS:
            raise IrregularError
        payloads = [block.payloads[row] for row in rows]
        column = np.empty(len(payloads), dtype=object)
        column[:] = payloads
        return Part(rows, [payload_hash(one) for one in payloads], columns={self._name: column})

    def record(self, block: Block, row: int) -> dict[str, Any]:
        """See Decoder."""
        if block.format not in RAW_FORMATS:
            raise RecordError("no_payload", no_payload(block.format))
        return {self._name: block.payloads[row]}
