"""The block: payloads as a source delivers them, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Consecutive records of one source.

    Attributes:
      payloads: one for each record, without line end.
      source: where they come from: a file's path.
      error: why the rest of the source cannot be read, naming it and the place; else None.
    """

    payloads: tuple[bytes, ...]
    source: str
    error: str | None = None
