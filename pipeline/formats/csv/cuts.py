"""Where a CSV file may be cut: at starts of rows, which only a look at all quotes before can tell.

From the middle of a text nobody can tell whether a quote is open, so the file is read once from its
start, for its quotes and line ends only. That takes a small part of the time of reading its cells.
As long as all quotes are where RFC 4180 has them, the rows behind a cut are those that they would
be without it; where one is not, no further cut is made.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from pipeline.batch.columns import Array
from pipeline.formats.csv.dialect import Dialect, dialect_of
from pipeline.formats.csv.quotes import quoted_places
from pipeline.formats.csv.rows import MAX_ROW_BYTES
from pipeline.formats.opened_file import Cut, OpenedFile
from pipeline.spec.record import RecordSpec

_AS_STORED = ("utf-8", "utf-8-sig")
"""Encodings whose bytes are those of the rows."""


def cuts(opened: OpenedFile, record: RecordSpec, part_bytes: int) -> Iterator[Cut]:
    """Starts of rows, at least `part_bytes` apart.

    Args:
      opened: the whole file.
      record: what is declared of the rows.
      part_bytes: the least distance of two cuts.
    """
    dialect = dialect_of(record.csv, opened.path)
    if opened.compression or dialect.encoding not in _AS_STORED:
        return
    for start, line, row in _row_starts(opened.content(), dialect, part_bytes):
        if start < opened.end:
            yield Cut(start, line, row)


def _row_starts(
    chunks: Iterable[bytes], dialect: Dialect, part_bytes: int
) -> Iterator[tuple[int, int, bytes]]:
    """Byte and line of rows, and the first row of the text."""
    chunks = iter(chunks)
    held = next(chunks, b"")
    begin, line, wanted, first_row = 0, 1, part_bytes, b""
    if held.startswith(codecs.BOM_UTF8):
        held, begin = held.removeprefix(codecs.BOM_UTF8), len(codecs.BOM_UTF8)
    for chunk in chain([b""], chunks):
        text = held + chunk
        whole = text[: text.rfind(b"\n") + 1]
        line_ends = np.flatnonzero(np.frombuffer(whole, np.uint8) == ord("\n"))
        row_ends = _row_ends(whole, line_ends, dialect)
        if row_ends is None or _longest(row_ends, len(text)) > MAX_ROW_BYTES:
            return
        held = text
        if not len(row_ends):
            continue
        first_row = first_row or whole[: int(row_ends[0])].removesuffix(b"\r")
        starts = begin + row_ends + 1
        while (at := int(np.searchsorted(starts, wanted))) < len(starts):
            lines_before = int(np.searchsorted(line_ends, row_ends[at], side="right"))
            yield int(starts[at]), line + lines_before, first_row
            wanted = int(starts[at]) + part_bytes
        line += int(np.searchsorted(line_ends, row_ends[-1], side="right"))
        held = text[int(row_ends[-1]) + 1 :]
        begin = int(starts[-1])


def _row_ends(text: bytes, line_ends: Array, dialect: Dialect) -> Array | None:
    """The line ends that are outside of quotes; None where nobody can tell."""
    if dialect.quote is None:
        return line_ends
    inside = quoted_places(text, line_ends, dialect.delimiter, dialect.quote)
    return None if inside is None else line_ends[~inside]


def _longest(row_ends: Array, size: int) -> int:
    """Bytes of the longest row, the one that has not ended yet among them."""
    return int(np.diff(row_ends, prepend=-1, append=size).max())
