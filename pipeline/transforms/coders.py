"""Beam's coder for batches: used where a runner moves them from one process to another."""

from __future__ import annotations

import apache_beam as beam

from pipeline.core import batch_wire
from pipeline.core.batch import Batch


class BatchCoder(beam.coders.Coder):  # type: ignore[misc]  # Beam is untyped
    """One copy of each column on the way out, none on the way in."""

    def encode(self, value: Batch) -> bytes:
        """The bytes of a batch."""
        return batch_wire.encode(value)

    def decode(self, encoded: bytes) -> Batch:
        """The batch in the bytes."""
        return batch_wire.decode(encoded)

    def is_deterministic(self) -> bool:
        """False: equal batches may pickle differently, so a batch is never a key."""
        return False


beam.coders.registry.register_coder(Batch, BatchCoder)
