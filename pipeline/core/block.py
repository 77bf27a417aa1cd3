"""The block: payloads as a source delivers them, before anything is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.formats import Format
from pipeline.core.payloads import Payloads


@dataclass(frozen=True)
class Origin:
    """What a message brought along besides its payload.

    Attributes:
      event_time_us: its publish time, UTC microseconds since 1970.
      attributes: as published.
      ordering_key: as published; empty for none.
    """

    event_time_us: int
    attributes: Mapping[str, str]
    ordering_key: str = ""


@dataclass(frozen=True)
class Block:
    """Consecutive records of one source.

    Attributes:
      payloads: one for each record; of text formats without line end.
      source: where they come from: a file's path, a subscription.
      error: why the rest of the source, or a part of it behind these records, cannot be read,
        naming it and the place; else None.
      origins: one for each payload, where the source has them.
      format: what the payloads are.
      first: number of the first record in its file, for messages: of CSV its line, from 1; of
        Parquet its row, from 0.
      header: of CSV, the names of the columns.
    """

    wire_form: ClassVar[str] = "block/1"

    payloads: Payloads
    source: str
    error: str | None = None
    origins: tuple[Origin, ...] | None = None
    format: Format = "jsonl"
    first: int = 0
    header: tuple[str, ...] = ()
