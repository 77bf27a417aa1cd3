"""The held-out digits again and again, so that a few hundred records make a stream."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Record(NamedTuple):
    """One line to be sent.

    Attributes:
      payload: the line, without its end.
      record_id: unique; None for a broken line, which is the same in every round.
    """

    payload: bytes
    record_id: str | None


def read_lines(folder: Path) -> list[bytes]:
    """The lines that make_records.py wrote, broken ones included.

    Raises:
      FileNotFoundError: it did not.
    """
    paths = sorted(folder.glob("held-out-*"))
    if not paths:
        raise FileNotFoundError(f"no records in {folder}")
    return [line for path in paths for line in _content(path).removesuffix(b"\n").split(b"\n")]


def records(lines: list[bytes]) -> Iterator[Record]:
    """An endless stream of the lines; the ids of good ones tell the round: ``digit-0007/3``."""
    for number in itertools.count(1):
        for line in lines:
            yield _numbered(line, number)


def _numbered(line: bytes, number: int) -> Record:
    try:
        record = json.loads(line.decode())
        record_id = f"{record['id']}/{number}"
    except (ValueError, TypeError, KeyError):
        return Record(line, None)
    if record["id"].startswith("broken"):
        return Record(line, None)
    return Record(json.dumps({**record, "id": record_id}).encode(), record_id)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content
