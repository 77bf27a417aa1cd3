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
from contextlib import suppress
from itertools import pairwise

from pipeline.formats.csv.dialect import dialect_of
from pipeline.formats.record_sample import MISSING_WORDS
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
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}")
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
    delimiter, quote, rows = written or (usual, '"', _rows(lines, usual, '"')[0])
    if written is None and _is_aligned(lines):
        raise ValueError(
            "looks like a table whose columns are aligned with blanks, which no key of "
            "`record.csv` reads: write it with one sign between two cells"
        )
    if delimiter == "," and _is_one_column(lines):
        raise ValueError(
            "has one name above lines that are each a number with a decimal comma, or the name of "
            "a row and a value, and nothing in it tells which: name both columns, or write the "
            "numbers with a point"
        )
    has_commas = delimiter != "," and _has_decimal_commas([cell for row in rows for cell in row])
    found = {
        # Where commas stand before fractions, `record.csv` has to name the delimiter.
        "delimiter": delimiter if has_commas or delimiter != usual else None,
        "quote": quote,
        "decimal": "," if has_commas else ".",
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
        quote, rows = _quoted(lines, delimiter)
        width = _width(rows)
        are_named = _have_names(rows, lines, quote)
        if delimiter == " " and found and not are_named:
            break  # blanks are in texts and times, too
        share = 1.0 if are_named else sum(len(row) == width for row in rows) / max(len(rows), 1)
        cells = [cell for row in rows for cell in row]
        if width < 2 or share < _MOSTLY or (delimiter == " " and (share < 1 or "" in cells)):
            continue
        clean = sum(not _has_delimiter(cell) for cell in cells) / len(cells)
        rank = are_named or len(rows[0]) == width, round(clean, 2), delimiter == usual, width
        found.append((rank, delimiter, quote, rows))
    if not found:
        return None
    _, delimiter, quote, rows = max(found, key=lambda one: one[0])
    return delimiter, quote, rows


def _have_names(rows: Rows, lines: Sequence[str], quote: str | None) -> bool:
    """Whether rows plainly have names of their own, as R writes them: in quotes, or counted."""
    first, *others = rows or [[]]
    width = len(first) + 1
    if not others or not any(first) or _has_number(first) or {*map(len, others)} != {width}:
        return False
    names = [row[0] for row in others]
    if names == [str(number) for number in range(1, len(names) + 1)]:
        return True
    are_quoted = quote is not None and all(line.startswith(quote) for line in lines[: len(rows)])
    return are_quoted and len(set(names)) == len(names)


def _quoted(lines: Sequence[str], delimiter: str) -> tuple[str | None, Rows]:
    """What stands around cells, and the rows that are read so."""
    rows, are_quotes = _rows(lines, delimiter, '"')
    if not are_quotes:
        return None, _rows(lines, delimiter, None)[0]
    texts = [cell for cell in rows[0] if not _NUMBER.fullmatch(cell)] if rows else []
    if texts and all(len(text) > 1 and text[0] == text[-1] == "'" for text in texts):
        single, are_quotes = _rows(lines, delimiter, "'")
        return ("'", single) if are_quotes else ('"', rows)
    return '"', rows


def _rows(lines: Sequence[str], delimiter: str, quote: str | None) -> tuple[Rows, bool]:
    """The first rows that can be read and are not empty; whether most quotes are those of CSV."""
    sign = quote or '"'
    reader = csv.reader(
        iter(lines),
        delimiter=delimiter,
        quotechar=sign,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    closed = re.compile(f"{sign}([^{sign}]|{sign}{sign})*{sign}")
    rows: Rows = []
    right, wrong = 0, 0
    while len(rows) < _ROWS and reader.line_num < len(lines):
        begin, row = reader.line_num, None
        with suppress(csv.Error):
            row = next(reader)
        text = [line.rstrip("\r\n") for line in lines[begin : reader.line_num]]
        cells = [cell for line in text for cell in line.split(delimiter) if cell[:1] == sign]
        bad = sum(closed.fullmatch(cell) is None for cell in cells) if row is None else 0
        right, wrong = right + len(cells) - bad, wrong + bad
        if row:
            rows.append(row)
    return rows, wrong <= right


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


def _is_one_column(lines: Sequence[str]) -> bool:
    """Whether each line but the first is one number, if a comma stands before its fraction."""
    first, *others = [line.strip() for line in lines[:_ROWS] if line.strip()] or [""]
    numbers = all(map(_WITH_COMMA.fullmatch, others))
    return bool(others) and numbers and "," not in first and not _NUMBER.fullmatch(first)


def _has_decimal_commas(cells: Sequence[str]) -> bool:
    """Whether commas stand before the fractions of some cells that are numbers, and no points."""
    commas = [cell for cell in cells if _WITH_COMMA.fullmatch(cell)]
    if all(map(_THOUSANDS.fullmatch, commas)):  # 1,000 may be a thousand
        return False
    return not any(map(_WITH_POINT.fullmatch, cells))


def _header(rows: Rows) -> bool | tuple[str, ...]:
    """The names of the columns where no line has them; else True.

    Raises:
      ValueError: a later line than the first seems to have them.
    """
    width = _width(rows[1:]) or _width(rows)
    if number := _lines_above(rows, width):
        raise ValueError(
            f"has {number} line{'s' * (number > 1)} before the one that names the columns, which "
            "no key of `record.csv` passes over: take them out"
        )
    if not rows or _names_columns(rows, width):
        return True
    if len(rows[0]) == width - 1 and not _has_number(rows[0]):
        whole = [row for row in rows if len(row) == width]
        has_last = any(row[-1].strip() for row in whole)
        are_named = has_last and len({row[0] for row in whole}) == len(whole)
        # As R writes a table with the names of its rows; or a delimiter ends every other line.
        return ("row", *rows[0]) if are_named else (*rows[0], f"column_{width}")
    return tuple(f"column_{number}" for number in range(1, width + 1))


def _lines_above(rows: Rows, width: int) -> int:
    """How many rows stand above the one that names the columns: titles, names of their groups.

    Such rows are of another width, or most of their cells are empty, as where Excel fills them up
    with delimiters.
    """
    if not rows or _is_above_numbers(rows, width):
        return 0
    first = rows[0]
    filled = _filled(first)
    if len(first) == width and 2 * filled > width:
        return 0
    # Names of one column, or of all but that of the rows' names, are no title.
    is_title = filled <= 1 and len(first) != width - 1 and (width > 2 or bool(first[0].strip()))
    for number, row in enumerate(rows[1:_PREAMBLE], 1):
        if len(row) != width:
            continue
        if _has_number(row):
            if len(first) == width and 2 * _filled(row) > width:
                return 0  # a record
        elif (is_title and _filled(row) > 1) or _is_above_numbers(rows[number:], width):
            return number
    return 0


def _filled(row: Sequence[str]) -> int:
    """How many cells of a row have something in them."""
    return sum(map(bool, map(str.strip, row)))


def _names_columns(rows: Rows, width: int) -> bool:
    """Whether the first row names the columns: its cells are of another kind than those below."""
    first = rows[0]
    if len(first) != width:
        return False
    values = [cell for cell in first if _is_value(cell)]
    return not values or _is_count(values) or _is_above_numbers(rows, width)


def _is_value(cell: str) -> bool:
    """Whether a cell is no name: a number, or a word for a missing one."""
    return _NUMBER.fullmatch(cell) is not None or cell.strip() in MISSING_WORDS


def _has_number(row: Sequence[str]) -> bool:
    return any(map(_NUMBER.fullmatch, row))


def _is_above_numbers(rows: Rows, width: int) -> bool:
    """Whether the first row has text in a column that has numbers alone below it."""
    first, *others = rows
    if len(first) != width:
        return False
    whole = [row for row in others if len(row) == width]
    for i, cell in enumerate(first):
        below = [row[i] for row in whole if row[i] and row[i].strip() not in MISSING_WORDS]
        if cell and below and not _is_value(cell) and all(map(_NUMBER.fullmatch, below)):
            return True
    return False


def _is_count(cells: Sequence[str]) -> bool:
    """Whether numbers are names: whole, three or more, one step apart (``0,1,2``; years)."""
    if len(cells) < 3 or not all(map(_INTEGER.fullmatch, cells)):
        return False
    steps = {int(b) - int(a) for a, b in pairwise(cells)}
    return len(steps) == 1 and steps.pop() > 0
