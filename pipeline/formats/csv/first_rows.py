"""What the first rows of a CSV file tell of its header, before a job starts."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence

from pipeline.batch.names import some
from pipeline.formats.csv.dialect import Dialect
from pipeline.formats.csv.header import Header, lacking, parse_header
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import Key

_MOST_ROWS = 100
_FEWEST_ROWS = 16
"""Rows that are all wrong in the same way are no accident."""


def names_below(
    rows: Sequence[bytes], record: RecordSpec, dialect: Dialect, given: Collection[Key]
) -> str:
    """Which row names all that a record needs, if the first one does not; empty if none does.

    Titles, comments, units and what Excel writes for itself (``sep=;``) stand above such a row.

    Args:
      rows: the first rows of a file.
      record: what is declared of them.
      dialect: how they are written.
      given: keys that the file's path gives.
    """
    for place, row in enumerate(rows[:_MOST_ROWS]):
        try:
            if lacking(record, parse_header(row, dialect), given):
                continue
        except ValueError:
            continue
        if not place:
            return ""
        line = place + 1 + b"".join(rows[:place]).count(b"\n")
        return (
            f"line 1 is {shown(rows[0])}, and line {line} names the columns: take out the lines "
            f"above it{'' if dialect.encoding == 'utf-16' else f', as `tail -n +{line}` does'}"
        )
    return ""


def other_widths(rows: Sequence[bytes], header: Header, dialect: Dialect) -> Iterator[str]:
    """Why no row can be read where all of them have more cells than names, or fewer.

    Args:
      rows: the first ones behind the header.
      header: the names of the columns.
      dialect: how they are written.
    """
    try:
        cells = [found for row in rows[:_MOST_ROWS] if (found := dialect.cells(row))]
    except (UnicodeDecodeError, csv.Error):
        return
    widths = set(map(len, cells))
    if len(cells) < _FEWEST_ROWS or len(widths) > 1 or widths == {len(header)}:
        return
    if dialect.names:
        names, remedy = "`record.csv.header` lists", "it needs a name for each cell"
    else:
        names = "the header has"
        remedy = (
            "`record: {csv: {header: [NAME, ...]}}` names all cells; the header is then one dead "
            "letter"
        )
    at_end = ", the last one empty" if not any(row[-1] for row in cells) else ""
    yield (
        f"{names} {len(header)} names ({some(header)}), and each of the first {len(cells)} rows "
        f"has {widths.pop()} cells{at_end}; {remedy}"
    )


def shown(row: bytes) -> str:
    """The beginning of a row as messages show it."""
    text = row.decode(errors="replace")
    return repr(text if len(text) <= 60 else f"{text[:60]}...") if text.strip() else "empty"
