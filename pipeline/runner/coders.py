"""Beam's coder for the values of this project that runners keep or move: see `batch.wire`.

Without it Beam would pickle them, and a job that is updated could not read what the build before
it left.
"""

from __future__ import annotations

from typing import Any, Self

import apache_beam as beam

from pipeline.batch import wire
from pipeline.batch.batch import Batch
from pipeline.batch.block import Block
from pipeline.batch.payloads import estimated_bytes
from pipeline.batch.release import Release
from pipeline.runner.beam_types import Coder


class FormCoder(Coder):
    """Encodes values of one class that has a form.

    Args:
      kind: the class.
    """

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @classmethod
    def from_type_hint(cls, kind: type, registry: object) -> Self:
        """The coder that Beam's registry looks for."""
        return cls(kind)

    def encode(self, value: Any) -> bytes:
        """The bytes of a value."""
        return wire.dumps(value)

    def decode(self, encoded: bytes) -> Any:
        """The value in the bytes."""
        return wire.loads(encoded, self._kind)

    def estimate_size(self, value: Any) -> int:
        """About the bytes of a value: Beam asks between steps, where nothing is encoded."""
        if isinstance(value, Block):
            return estimated_bytes(value.payloads)
        if isinstance(value, Batch):
            return value.estimated_bytes
        return len(self.encode(value))

    def is_deterministic(self) -> bool:
        """False: the order of mappings counts, so such a value is never a key."""
        return False

    def to_type_hint(self) -> type:
        """The class."""
        return self._kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FormCoder) and other._kind is self._kind

    def __hash__(self) -> int:
        return hash((FormCoder, self._kind))


def register(*kinds: type) -> None:
    """Makes Beam encode values of these classes by their forms."""
    for kind in kinds:
        beam.coders.registry.register_coder(kind, FormCoder)


register(Batch, Block, Release)
