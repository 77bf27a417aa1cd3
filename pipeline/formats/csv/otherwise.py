"""Where the first rows of a CSV file are written otherwise than the ensemble file says.

Told before a job starts, with the keys of `record.csv` that read them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from pipeline.batch.tensors import FLOATS
from pipeline.formats.csv.dialect import Dialect, dialect_of
from pipeline.formats.csv.first_rows import shown
from pipeline.formats.csv.header import Header, lacking, needed, parse_header, places
from pipeline.formats.csv.sniff import sniff
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import Key

_FRACTION = re.compile(r"[+-]?\d*(?P<sign>[.,])\d+([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_MOST_ROWS = 100
_FEWEST_CELLS = 16
_FEWEST_OF_ALL = 3
"""Numbers that are all written in the same way are no accident: so many, or all of a small file."""


def other_signs(
    rows: Sequence[bytes],
    path: str,
    record: RecordSpec,
    dialect: Dialect,
    given: Collection[Key],
) -> str:
    """With which signs the header names all that is needed, if it does not as it is read; or empty.

    Args:
      rows: the first ones of a file.
      path: of the file.
      record: what is declared of them.
      dialect: how they should be written.
      given: keys that the file's path gives.
    """
    try:
        if not lacking(record, parse_header(rows[0], dialect), given):
            return ""
        found = dialect_of(sniff(b"\n".join(rows[:_MOST_ROWS]), path, is_whole=True), path)
        other = replace(
            dialect, delimiter=found.delimiter, quote=found.quote, decimal=found.decimal
        )
        names = parse_header(rows[0], other)
    except ValueError:
        return ""
    if other == dialect or lacking(record, names, given):
        return ""
    around, usual = (f"`{one.quote}`" if one.quote else "nothing" for one in (other, dialect))
    what = f"found {around} around names in the header, expected {usual}"
    if other.delimiter != dialect.delimiter:
        sign = "a tab" if other.delimiter == "\t" else f"`{other.delimiter}`"
        what = (
            f"found {sign} between {len(names)} names in the header, expected "
            f"{dialect.shown_delimiter}"
        )
    keys = ("delimiter", "quote", "decimal")
    signs = {
        key: getattr(other, key) for key in keys if getattr(other, key) != getattr(dialect, key)
    }
    return f"{what}: {shown(rows[0])}; {_remedy(signs)}"


def other_decimals(
    rows: Sequence[bytes], record: RecordSpec, header: Header, dialect: Dialect
) -> Iterator[str]:
    """Each field of floats before whose fractions another sign stands, in words.

    Args:
      rows: the first ones behind the header.
      record: what is declared of them.
      header: the names of the columns.
      dialect: how they should be written.
    """
    for key, spec, as_written in _cells_of_fields(rows, record, header, dialect):
        cells = [cell.strip() for cell in as_written] if spec.dtype in FLOATS else []
        if dialect.decimal == ".":
            found, sign, expected = "commas", ",", "points"
            remedy = _remedy({"delimiter": dialect.delimiter, "decimal": sign})
            if dialect.delimiter == sign:
                remedy = _remedy({"delimiter": ";", "decimal": sign})
                remedy = f"another sign has to stand between cells: {remedy}"
        else:
            found, sign, expected = "points", ".", "commas"
            remedy = _remedy({"decimal": sign})
        odd = [cell for cell in cells if _is_fraction(cell, sign)]
        usual = any(dialect.decimal in cell for cell in cells if not cell.startswith("["))
        telling = sum(not _INTEGER.fullmatch(cell) for cell in cells if cell)
        if len(odd) >= min(_FEWEST_CELLS, max(_FEWEST_OF_ALL, telling)) and not usual:
            yield (
                f"field '{key}': found {found} before the fractions of numbers, such as "
                f"{odd[0]!r}, expected {expected}; {remedy}"
            )


def quotes_behind_blanks(
    rows: Sequence[bytes], record: RecordSpec, header: Header, dialect: Dialect
) -> Iterator[str]:
    """Each field whose cells have a blank before their quotes, which both are text then, in words.

    Args:
      rows: the first ones behind the header.
      record: what is declared of them.
      header: the names of the columns.
      dialect: how they should be written.
    """
    for key, _, as_written in _cells_of_fields(rows, record, header, dialect):
        cells = list(filter(None, as_written))
        if len(cells) >= _FEWEST_CELLS and all(_is_quoted_text(cell, dialect) for cell in cells):
            yield (
                f"field '{key}': found a blank before the quotes of each cell, such as "
                f"{cells[0]!r}, which makes both a part of the value; take the blanks out"
            )


def _cells_of_fields(
    rows: Sequence[bytes], record: RecordSpec, header: Header, dialect: Dialect
) -> Iterator[tuple[Key, FieldSpec, list[str]]]:
    """Each field with its cells in the first rows that are whole; none where one is no text."""
    try:
        table = [dialect.cells(row) for row in rows[:_MOST_ROWS]]
    except (UnicodeDecodeError, csv.Error):
        return
    whole = [row for row in table if len(row) == len(header)]
    of_key = places(needed(record), header)
    for key, spec in record.by_key.items():
        yield key, spec, [row[place] for row in whole for place in of_key[key]]


def _is_quoted_text(cell: str, dialect: Dialect) -> bool:
    """Whether a cell has quotes around it that are none, since a blank stands before them."""
    text, quote = cell.strip(), dialect.quote
    return cell[0] in " \t" and len(text) > 1 and text[0] == text[-1] == quote


def _is_fraction(cell: str, sign: str) -> bool:
    """Whether a sign stands before the fraction of a number, and not between its thousands."""
    number = _FRACTION.fullmatch(cell)
    return number is not None and number["sign"] == sign and not _THOUSANDS.fullmatch(cell)


def _remedy(signs: dict[str, str | None]) -> str:
    keys = ", ".join(f"{key}: {_in_yaml(sign)}" for key, sign in signs.items())
    return f"`record: {{csv: {{{keys}}}}}` reads it"


def _in_yaml(sign: str | None) -> str:
    if sign is None:
        return "null"
    return {"\t": r'"\t"', "'": '"\'"'}.get(sign, f"'{sign}'")
