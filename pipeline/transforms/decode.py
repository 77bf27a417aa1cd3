"""Decode: blocks of payloads become batches of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Block
from pipeline.batch.columns import Masked
from pipeline.batch.metrics import MISSING_VALUES, NAMESPACE, UNREAD_RECORDS
from pipeline.formats.registry import decoders
from pipeline.runner.beam_types import DoFn
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey


@beam.typehints.with_input_types(Block)
@beam.typehints.with_output_types(Batch)
class Decode(DoFn):
    """One block of payloads in, one batch out; a block that could not be read whole adds a reject.

    Args:
      record: the declared fields.
      pass_through: keys that predictions repeat.
    """

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey]) -> None:
        self._record = record
        self._pass_through = tuple(pass_through)

    def setup(self) -> None:
        """Makes the decoders, which are not pickled."""
        self._decoders = decoders(self._record, self._pass_through)

    def process(self, block: Block) -> Iterator[Batch]:
        """Decodes one block."""
        batch = self._decoders[block.format].decode(block)
        for name, column in batch.columns.items():
            if isinstance(column, Masked) and (lacking := int((~column.present).sum())):
                Metrics.counter(NAMESPACE, f"{MISSING_VALUES}/{name}").inc(lacking)
        if block.error is not None:
            unreadable = Reject(
                payload=b"",
                record_id=None,
                stage="read",
                error_type="unreadable",
                error_message=block.error,
            )
            batch = replace(batch, rejects=(*batch.rejects, unreadable))
            Metrics.counter(NAMESPACE, UNREAD_RECORDS).inc(block.lost)
        yield batch
