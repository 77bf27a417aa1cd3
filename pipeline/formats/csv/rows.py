"""Where the rows of a CSV text end: at a line end outside of quotes (RFC 4180).

A quote that is out of place must not swallow what follows it. So a row takes in further lines only
as long as it may still become a proper one; otherwise its first line stands alone, for the decoder
to complain about, and the next line begins a row again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np

from pipeline.batch.columns import Array
from pipeline.batch.payloads import Lines
from pipeline.formats.csv.dialect import RFC_4180, Dialect
from pipeline.formats.csv.quotes import quoted_places
from pipeline.formats.lines import LongLine

MAX_ROW_BYTES = 1 << 20
"""A row with more text than this has no line ends in its cells."""


class _Signs:
    """What rows look like between these signs; `quote` is None where cells have none around."""

    def __init__(self, delimiter: str, quote: str | None) -> None:
        self.delimiter = delimiter
        self.quote = quote.encode() if quote else None
        d, q = re.escape(delimiter.encode()), re.escape((quote or "").encode())
        quoted = b"%b[^%b]*+(?:%b%b[^%b]*+)*+" % (q, q, q, q, q) if quote else b""
        text = rb"[^%b%b\r\n]*+" % (q, d)
        cell = b"(?:%b%b|%b)" % (quoted, q, text)
        self._proper = re.compile(b"%b(?:%b%b)*+" % (cell, d, cell))
        self._open = re.compile(b"(?:%b%b)*+%b" % (cell, d, quoted))

    def is_proper(self, row: bytes) -> bool:
        if self.quote is None or self.quote not in row:
            return True
        return self._proper.fullmatch(row) is not None

    def is_open(self, row: bytes) -> bool:
        return self._open.fullmatch(row) is not None


@cache
def _signs(delimiter: str, quote: str | None) -> _Signs:
    return _Signs(delimiter, quote)


def all_proper(rows: Lines, dialect: Dialect = RFC_4180) -> bool:
    """Whether every quote of some rows is where RFC 4180 has it.

    Args:
      rows: the rows.
      dialect: which signs mean something.
    """
    signs = _signs(dialect.delimiter, dialect.quote)
    if signs.quote is None or signs.quote not in rows.text:
        return True
    inside = _quoted_ends(rows, signs)
    if inside is not None and not inside.any():
        return True
    return all(map(signs.is_proper, rows))


def has_bare_returns(rows: Lines, dialect: Dialect = RFC_4180) -> bool:
    r"""Whether a ``\r`` stands outside of quotes; or nobody can tell.

    Args:
      rows: the rows.
      dialect: which signs mean something.
    """
    text = rows.text + b"\n"
    returns = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\r"))
    if not len(returns) or dialect.quote is None:
        return bool(len(returns))
    inside = quoted_places(text, returns, dialect.delimiter, dialect.quote)
    return inside is None or not inside.all()


def whole_rows(
    parts: Iterable[Lines | LongLine], dialect: Dialect = RFC_4180
) -> Iterator[Lines | LongLine]:
    r"""The rows in some lines; those with line ends inside quotes put together again.

    Args:
      parts: all lines of a text, in order, without line ends; of ``\r\n`` the first character,
        which may be inside quotes, is there. No row goes on behind a line that was passed over.
      dialect: which signs mean something.

    Raises:
      Exception: from `parts`, after the rows in the lines before were yielded.
    """
    signs = _signs(dialect.delimiter, dialect.quote)
    quote = signs.quote
    held: list[bytes] = []
    try:
        for part in parts:
            if isinstance(part, LongLine):
                yield _rows(Lines.of(held), signs, more=False)[0]
                held = []
                yield part
                continue
            if quote is None or (not held and quote not in part.text):
                yield _without_returns(part)
                continue
            rows, held = _rows(Lines.of([*held, *part]) if held else part, signs, more=True)
            yield rows
    except Exception:
        yield _rows(Lines.of(held), signs, more=False)[0]
        raise
    yield _rows(Lines.of(held), signs, more=False)[0]


def _rows(lines: Lines, signs: _Signs, *, more: bool) -> tuple[Lines, list[bytes]]:
    """The rows in `lines`, and the lines of the last one if it is not over and more may come."""
    if not len(lines):
        return lines, []
    inside = _quoted_ends(lines, signs)
    if inside is None:
        return rows_one_by_one(list(lines), signs, more=more)
    row_ends = np.flatnonzero(~inside)
    rows, held = lines, list[bytes]()
    if len(row_ends) < len(lines):  # some rows have several lines
        last = int(row_ends[-1]) if len(row_ends) else -1
        held = list(lines.part(last + 1, len(lines)))
        rows = Lines(lines.text[: int(lines.ends[last]) if last >= 0 else 0], lines.ends[row_ends])
        lengths = [*(rows.ends - rows.begins).tolist(), len(b"\n".join(held))]
        if (held and not more) or max(lengths) > MAX_ROW_BYTES:
            return rows_one_by_one(list(lines), signs, more=more)
    return _without_returns(rows), held


def _without_returns(rows: Lines) -> Lines:
    r"""The rows without the ``\r`` before their line ends."""
    returns = rows.text.count(b"\r")
    if not returns:
        return rows
    text = rows.text + b"\n"
    if returns == text.count(b"\r\n") and text.count(b"\n") == len(rows):
        return Lines.split(text.replace(b"\r\n", b"\n")[:-1])
    return Lines.of([row.removesuffix(b"\r") for row in rows])


def _quoted_ends(lines: Lines, signs: _Signs) -> Array | None:
    """Whether the end of each line is inside of quotes; None where nobody can tell."""
    assert signs.quote is not None
    text = lines.text + b"\n"
    return quoted_places(text, lines.ends, signs.delimiter, signs.quote.decode())


def rows_one_by_one(
    lines: Sequence[bytes], signs: _Signs, *, more: bool
) -> tuple[Lines, list[bytes]]:
    """The same, where a quote may be out of place."""
    rows: list[bytes] = []
    begin = 0
    while begin < len(lines):
        end = _end(lines, begin, signs)
        if end > len(lines):
            if more:
                return Lines.of(rows), list(lines[begin:])
            end = begin + 1
        rows.append(b"\n".join(lines[begin:end]).removesuffix(b"\r"))
        begin = end
    return Lines.of(rows), []


def _end(lines: Sequence[bytes], begin: int, signs: _Signs) -> int:
    """The line behind the row that begins at `begin`; beyond all lines if that is not known yet."""
    row = lines[begin]
    if signs.is_proper(row.removesuffix(b"\r")) or not signs.is_open(row):
        return begin + 1
    assert signs.quote is not None
    size = len(row)
    for i in range(begin + 1, len(lines)):
        size += len(lines[i]) + 1
        if size > MAX_ROW_BYTES:
            return begin + 1
        if signs.quote in lines[i]:
            row = b"\n".join(lines[begin : i + 1])
            if signs.is_proper(row.removesuffix(b"\r")):
                return i + 1
            if not signs.is_open(row):
                return begin + 1
    return len(lines) + 1
