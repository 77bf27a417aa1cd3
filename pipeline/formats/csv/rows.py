"""Where the rows of a CSV text end: at a line end outside of quotes (RFC 4180).

A quote that is out of place must not swallow what follows it. So a row takes in further lines only
as long as it may still become a proper one; otherwise its first line stands alone, for the decoder
to complain about, and the next line begins a row again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.formats.lines import LongLine

_QUOTED = rb'"[^"]*+(?:""[^"]*+)*+'
_CELL = rb"(?:" + _QUOTED + rb'"|[^",\r\n]*+)'
_PROPER = re.compile(_CELL + rb"(?:," + _CELL + rb")*+")
_OPEN = re.compile(rb"(?:" + _CELL + rb",)*+" + _QUOTED)

MAX_ROW_BYTES = 1 << 20
"""A row with more text than this has no line ends in its cells."""


def is_proper(row: bytes) -> bool:
    """Whether every quote of a row is where RFC 4180 has it."""
    return b'"' not in row or _PROPER.fullmatch(row) is not None


def whole_rows(lists: Iterable[list[bytes] | LongLine]) -> Iterator[list[bytes] | LongLine]:
    r"""The rows in some lines; those with line ends inside quotes put together again.

    Args:
      lists: all lines of a text, in order, without line ends; of ``\r\n`` the first character,
        which may be inside quotes, is there. No row goes on behind a line that was passed over.

    Raises:
      Exception: from `lists`, after the rows in the lines before were yielded.
    """
    held: list[bytes] = []
    try:
        for lines in lists:
            if isinstance(lines, LongLine):
                yield _rows(held, more=False)[0]
                held = []
                yield lines
                continue
            if not held and not any(b'"' in line for line in lines):
                yield [line.removesuffix(b"\r") for line in lines]
                continue
            rows, held = _rows([*held, *lines], more=True)
            yield rows
    except Exception:
        yield _rows(held, more=False)[0]
        raise
    yield _rows(held, more=False)[0]


def _rows(lines: Sequence[bytes], *, more: bool) -> tuple[list[bytes], list[bytes]]:
    """The rows in `lines`, and the lines of the last one if it is not over and more may come."""
    rows: list[bytes] = []
    begin = 0
    while begin < len(lines):
        end = _end(lines, begin)
        if end > len(lines):
            if more:
                return rows, list(lines[begin:])
            end = begin + 1
        rows.append(b"\n".join(lines[begin:end]).removesuffix(b"\r"))
        begin = end
    return rows, []


def _end(lines: Sequence[bytes], begin: int) -> int:
    """The line behind the row that begins at `begin`; beyond all lines if that is not known yet."""
    row = lines[begin]
    if is_proper(row.removesuffix(b"\r")) or not _OPEN.fullmatch(row):
        return begin + 1
    size = len(row)
    for i in range(begin + 1, len(lines)):
        size += len(lines[i]) + 1
        if size > MAX_ROW_BYTES:
            return begin + 1
        if b'"' in lines[i]:
            row = b"\n".join(lines[begin : i + 1])
            if is_proper(row.removesuffix(b"\r")):
                return i + 1
            if not _OPEN.fullmatch(row):
                return begin + 1
    return len(lines) + 1
