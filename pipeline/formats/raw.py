"""Records that nobody decodes here: a model, or whoever wrote it, knows what is in them."""

from __future__ import annotations

import numpy as np

from pipeline.batch.block import Block
from pipeline.errors import RecordError
from pipeline.formats.decoder import Decoder, Part, payload_hash
from pipeline.formats.fields import IrregularError
from pipeline.formats.lookup import Record
from pipeline.spec.record import RecordSpec


def no_bytes(title: str) -> str:
    """Why the records of a format of columns cannot be handed over whole, and what to do."""
    return (
        f"with `source: raw`, found {title}, whose records have no bytes of their "
        "own; expected lines or TFRecord, or without `source` a field of dtype bytes: a column"
    )


class RawDecoder(Decoder):
    """Hands each payload over as the one field of the record; its hash is the id.

    Payloads are lines, TFRecord's and Pub/Sub's messages. Records of other formats are rejects.

    Args:
      record: its source is "raw".
      problem: why the format's records cannot be handed over; empty where they can.
    """

    def __init__(self, record: RecordSpec, problem: str = "") -> None:
        super().__init__(record)
        self._problem = problem
        (self._name,) = record.by_key

    def part(self, block: Block, rows: range) -> Part:
        """See Decoder."""
        if self._problem:
            raise IrregularError
        payloads = [block.payloads[row] for row in rows]
        column = np.empty(len(payloads), dtype=object)
        column[:] = payloads
        return Part(rows, [payload_hash(one) for one in payloads], columns={self._name: column})

    def record(self, block: Block, row: int) -> Record:
        """See Decoder."""
        if self._problem:
            raise RecordError("no_payload", self._problem)
        return {self._name: block.payloads[row]}
