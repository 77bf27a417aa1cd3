"""How a CSV file is written, told from its beginning, before anybody has said it.

What is found is likely, not certain: no file says which encoding it has, or whether its first line
names the columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice, pairwise

from pipeline.formats.csv.dialect import dialect_of
from pipeline.spec.record import CsvSpec, Encoding

HEAD_BYTES = 4 << 20
"""The most of a file's text that is looked at, for its encoding."""

_ROWS = 200
_DELIMITERS = (",", ";", "\t", "|")
_PREAMBLE = 20
_MOSTLY = 0.9
"""The share of rows that have as many cells as most have, in the right dialect."""
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")
_WITH_COMMA = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][+-]?\d+)?\s*")
_WITH_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
_INTEGER = re.compile(r"\d{1,9}")

Rows = list[list[str]]


def sniff(head: bytes, path: str, *, is_whole: bool) -> CsvSpec:
    """How a CSV file is written.

    Args:
      head: the beginning of its text, HEAD_BYTES or all of it, decompressed.
      path: its path, whose extension tells the usual delimiter.
      is_whole: whether `head` is all of it.

    Raises:
      ValueError: nothing that can be said of a CSV file makes it readable.
    """
    encoding = _encoding(head, is_whole)
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    lines = list(io.StringIO(text, newline="\n"))
    if not is_whole and len(lines) > 1:
        del lines[-1]
    usual = dialect_of(None, path).delimiter
    written = _written(lines, usual)
    delimiter, quote, rows = written or (usual, '"', _rows(lines, usual, '"') or [])
    if written is None and _is_aligned(lines):
        raise ValueError(
            "looks like a table whose columns are aligned with blanks, which no key of "
            "`record.csv` reads: write it with one sign between two cells"
        )
    found = {
        "delimiter": None if delimiter == usual else delimiter,
        "quote": quote,
        "decimal": "," if delimiter != "," and _has_decimal_commas(rows) else ".",
        "encoding": encoding,
        "header": _header(rows),
    }
    return CsvSpec.model_validate(found)


def _encoding(head: bytes, is_whole: bool) -> Encoding:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(head, is_whole)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _written(lines: Sequence[str], usual: str) -> tuple[str, str | None, Rows] | None:
    """Delimiter, quote and first rows, where most rows have as many cells, two or more."""
    found: list[tuple[tuple[bool, float, bool, int], str, str | None, Rows]] = []
    for delimiter in (*_DELIMITERS, " "):
        if delimiter == " " and found:
            break  # blanks are in texts and times, too
        quote, rows = _quoted(lines, delimiter)
        width = _width(rows)
        share = sum(len(row) == width for row in rows) / max(len(rows), 1)
        cells = [cell for row in rows for cell in row]
        if width < 2 or share < _MOSTLY or (delimiter == " " and (share < 1 or "" in cells)):
            continue
        clean = sum(not _has_delimiter(cell) for cell in cells) / len(cells)
        rank = len(rows[0]) == width, round(clean, 2), delimiter == usual, width
        found.append((rank, delimiter, quote, rows))
    if not found:
        return None
    _, delimiter, quote, rows = max(found, key=lambda one: one[0])
    return delimiter, quote, rows


def _quoted(lines: Sequence[str], delimiter: str) -> tuple[str | None, Rows]:
    """What stands around cells, and the rows that are read so."""
    rows = _rows(lines, delimiter, '"')
    if rows is None:
        return None, _rows(lines, delimiter, None) or []
    texts = [cell for cell in rows[0] if not _NUMBER.fullmatch(cell)] if rows else []
    if texts and all(len(text) > 1 and text[0] == text[-1] == "'" for text in texts):
        single = _rows(lines, delimiter, "'")
        return ('"', rows) if single is None else ("'", single)
    return '"', rows


def _rows(lines: Sequence[str], delimiter: str, quote: str | None) -> Rows | None:
    """The first rows that are not empty; None if their quotes are not those of CSV."""
    reader = csv.reader(
        iter(lines),
        delimiter=delimiter,
        quotechar=quote or '"',
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        return list(islice(filter(None, reader), _ROWS))
    except csv.Error:
        return None


def _width(rows: Rows) -> int:
    """The number of cells that most rows have."""
    return Counter(map(len, rows)).most_common(1)[0][0] if rows else 0


def _has_delimiter(cell: str) -> bool:
    """Whether a cell holds what may be a delimiter, and no number explains it."""
    return any(sign in cell for sign in _DELIMITERS) and not _WITH_COMMA.fullmatch(cell)


def _is_aligned(lines: Sequence[str]) -> bool:
    """Whether lines are several words each, as many in all, with blanks between them."""
    widths = Counter(len(line.split()) for line in lines[:_ROWS] if line.strip())
    (width, count), *_ = widths.most_common(1) or [(0, 0)]
    cells = [cell for line in lines[1:_ROWS] for cell in line.split()]
    numbers = sum(_NUMBER.fullmatch(cell) is not None for cell in cells)
    return width > 1 and count >= _MOSTLY * widths.total() and 2 * numbers > len(cells)


def _has_decimal_commas(rows: Rows) -> bool:
    cells = [cell for row in rows for cell in row]
    commas = any(map(_WITH_COMMA.fullmatch, cells))
    return commas and not any(map(_WITH_POINT.fullmatch, cells))


def _header(rows: Rows) -> bool | tuple[str, ...]:
    """The names of the columns where no line has them; else True.

    Raises:
      ValueError: a later line than the first seems to have them.
    """
    width = _width(rows[1:]) or _width(rows)
    if not rows or _names_columns(rows, width):
        return True
    if len(rows[0]) != width:
        for number in range(1, min(len(rows), _PREAMBLE)):
            if not _has_number(rows[number]) and _is_above_numbers(rows[number:], width):
                raise ValueError(
                    f"has {number} line{'s' * (number > 1)} before the one that names the "
                    "columns, which no key of `record.csv` passes over: take them out"
                )
    if len(rows[0]) == width - 1 and not _has_number(rows[0]):
        return ("row", *rows[0])  # as R writes a table with the names of its rows
    return tuple(f"column_{number}" for number in range(1, width + 1))


def _names_columns(rows: Rows, width: int) -> bool:
    """Whether the first row names the columns: its cells are of another kind than those below."""
    first = rows[0]
    if len(first) != width:
        return False
    numbers = [cell for cell in first if _NUMBER.fullmatch(cell)]
    return not numbers or _is_count(numbers) or _is_above_numbers(rows, width)


def _has_number(row: Sequence[str]) -> bool:
    return any(map(_NUMBER.fullmatch, row))


def _is_above_numbers(rows: Rows, width: int) -> bool:
    """Whether the first row has text in a column that has numbers alone below it."""
    first, *others = rows
    if len(first) != width:
        return False
    whole = [row for row in others if len(row) == width]
    for i, cell in enumerate(first):
        below = [row[i] for row in whole if row[i]]
        if cell and below and not _NUMBER.fullmatch(cell) and all(map(_NUMBER.fullmatch, below)):
            return True
    return False


def _is_count(cells: Sequence[str]) -> bool:
    """Whether numbers are names: whole, three or more, one step apart (``0,1,2``; years)."""
    if len(cells) < 3 or not all(map(_INTEGER.fullmatch, cells)):
        return False
    steps = {int(b) - int(a) for a, b in pairwise(cells)}
    return len(steps) == 1 and steps.pop() > 0
