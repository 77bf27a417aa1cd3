"""The block: payloads as a source delivers them, before decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.batch.payloads import Payloads


@dataclass(frozen=True)
class Origin:
    """The part of a message besides its payload.

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
      payloads: one for each record; those of text formats without line end.
      source: where they come from, as text that can be written: a file's path, a subscription.
      error: why the rest of the source, or a part of it after these records, cannot be read, with
        the source and the place; None if there is no error.
      origins: one for each payload, if the source has them.
      format: the name of the format of the payloads.
      first: the number of the first record in its file, for error messages: the line of a CSV file,
        from 1; the row of a Parquet file, from 0.
      header: the names of the columns of a CSV file.
      lost: how many records the error is about, as far as the source says; 0 if it does not.
    """

    wire_form: ClassVar[str] = "block/1"

    payloads: Payloads
    source: str
    error: str | None = None
    origins: tuple[Origin, ...] | None = None
    format: str = "jsonl"
    first: int = 0
    header: tuple[str, ...] = ()
    lost: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", printable(self.source))


def printable(path: str) -> str:
    """A path as text that can be written; of a local name that is not UTF-8, bytes as escapes."""
    return path if path.isascii() else path.encode(errors="backslashreplace").decode()
