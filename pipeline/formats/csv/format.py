"""CSV files as blocks of rows.

A line break may be inside quotes, and nothing in the middle of a file tells whether it is. So a
large file is cut where a look at all of its quotes says that a row starts (see `cuts`).

The first line of each file is its header if it names all that a record needs. If it does not, as in
the parts that `split` makes of a file, it may be a record: then it is read, and refused, as one.
Where the ensemble file names the columns, every line is a record; a first line of exactly these
names is no record if any field cannot be its own name, and refused otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.batch.block import Block
from pipeline.batch.payloads import Lines
from pipeline.formats import lines, partitions
from pipeline.formats.csv.cuts import cuts
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.csv.dialect import Dialect, as_utf8, dialect_of
from pipeline.formats.csv.first_rows import names_below, other_widths
from pipeline.formats.csv.header import (
    REPEATED_NAMES,
    Header,
    lacking,
    may_be_record,
    parse_header,
    problems,
    repeats_names,
)
from pipeline.formats.csv.otherwise import other_decimals, other_signs, quotes_behind_blanks
from pipeline.formats.csv.rows import whole_rows
from pipeline.formats.format import Format, Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.partitions import names_in
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The rows of a file behind its header; the first line as well, where it is none."""
    path, most = opened.path, reading.max_record_bytes
    record = reading.record
    dialect = dialect_of(reading.csv_spec, path)
    header: Header | None = dialect.names or None
    given = names_in(path, record) if record else ()
    line = opened.line
    if opened.start:
        header = header or _header_of_parts(opened, dialect, most)
    try:
        for block in lines.in_blocks(_rows(opened, most, dialect), reading.block_rows):
            if isinstance(block, lines.LongLine):
                message = block.told(path, f"{line - 1} whole lines", most)
                yield Block((), path, message, format="csv")
                header = header or ()
                line += 1
                continue
            payloads = block
            if header is None:
                try:
                    header = parse_header(block[0], dialect)
                except ValueError as error:
                    if record is None:
                        yield Block((), path, f"{path}: {error}", format="csv")
                        return
                    header = ()
                is_header = record is None or not lacking(record, header, given)
            else:
                is_header = line == 1 and _are_names_only(block[0], dialect, record)
            if is_header:
                payloads = block.part(1, len(block))
                line += 1 + block[0].count(b"\n")
            if payloads:
                yield Block(payloads, path, format="csv", first=line, header=header)
                line += payloads.line_ends + 1
    except lines.DamagedFileError as damage:
        yield Block((), path, damage.told(path, f"{line - 1} whole lines"), format="csv")


def _header_of_parts(opened: OpenedFile, dialect: Dialect, most: int) -> Header:
    """The header of all parts of a file, as the first of them finds it."""
    row = opened.first_row or b""
    try:
        return parse_header(row, dialect) if len(row) <= most else ()
    except ValueError:
        return ()


def _are_names_only(row: bytes, dialect: Dialect, record: RecordSpec | None) -> bool:
    """Whether a first line can only be the names that the ensemble file lists, no record."""
    if record is None or not repeats_names(row, dialect):
        return False
    return not may_be_record(record, dialect.names, dialect)


def _check(
    opened: OpenedFile, record: RecordSpec, pass_through: Sequence[RecordKey]
) -> Iterator[str]:
    """What the header lacks or has twice, or what the first rows do not agree with."""
    dialect = dialect_of(record.csv, opened.path)
    try:
        parts = _rows(opened, lines.DEFAULT_RECORD_BYTES, dialect)
        first = next((rows for rows in parts if rows), Lines.split(b""))
    except lines.DamagedFileError as damage:
        raise ValueError(f"cannot be read: {damage}") from damage
    if isinstance(first, lines.LongLine):
        raise ValueError(f"the header would have {first.length:,} bytes")
    rows = list(first)
    if repeats_names(rows[0], dialect) and may_be_record(record, dialect.names, dialect):
        yield REPEATED_NAMES
    given = names_in(opened.path, record)
    if not dialect.names:
        above = names_below(rows, record, dialect, given)
        if otherwise := above or other_signs(rows, opened.path, record, dialect, given):
            yield otherwise
            return
    header = dialect.names or parse_header(rows[0], dialect)
    yield from partitions.problems(opened.path, record, header, pass_through)
    found = list(problems(record, pass_through, header, dialect, given))
    below = rows if dialect.names else rows[1:]
    found = found or list(other_widths(below, header, dialect))
    found = found or list(other_decimals(below, record, header, dialect))
    yield from found or quotes_behind_blanks(below, record, header, dialect)


def _rows(opened: OpenedFile, most: int, dialect: Dialect) -> Iterator[Lines | lines.LongLine]:
    # A byte order mark stands at the start of a file; anywhere else it is part of a cell.
    text = opened.lines() if opened.start else as_utf8(opened.lines(), dialect.encoding)
    return whole_rows(lines.split_lines(text, most, exact=True), dialect)


CSV = Format(
    "csv",
    CsvDecoder,
    _blocks,
    _check,
    extensions=(".csv", ".tsv"),
    records_are="the first line names the columns",
    cuts=cuts,
    raw_problem=(
        "with `source: raw`, found CSV, whose rows mean something with their header only; "
        "expected lines (--input_format=jsonl takes every line as it is) or TFRecord"
    ),
)
