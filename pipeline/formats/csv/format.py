"""CSV files as blocks of rows.

A line break may be inside quotes, and nothing in the middle of a file tells whether it is. So a
file is read from its start to its end by one worker; several files are read by several.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from pipeline.batch.block import Block
from pipeline.formats import lines
from pipeline.formats.csv import cells as csv_cells
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.csv.rows import whole_rows
from pipeline.formats.format import Format, Reading
from pipeline.formats.misfits import some
from pipeline.formats.opened_file import OpenedFile
from pipeline.spec.record import FieldSpec, RecordSpec


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The rows of a file behind its header."""
    path = opened.path
    header: tuple[str, ...] = ()
    line = 1
    most = reading.max_record_bytes
    try:
        for block in lines.in_blocks(_rows(opened, most), reading.block_rows):
            if isinstance(block, lines.LongLine):
                message = block.told(path, f"{line - 1} whole lines", most)
                yield Block((), path, message, format="csv")
                if not header:
                    return
                line += 1
                continue
            payloads = block
            if not header:
                try:
                    header = parse_header(block[0])
                except ValueError as error:
                    yield Block((), path, f"{path}: {error}", format="csv")
                    return
                payloads = block[1:]
                line += 1 + block[0].count(b"\n")
            if payloads:
                yield Block(payloads, path, format="csv", first=line, header=header)
            line += sum(1 + row.count(b"\n") for row in payloads)
    except lines.DamagedFileError as damage:
        yield Block((), path, damage.told(path, f"{line - 1} whole lines"), format="csv")


def _check(opened: OpenedFile, record: RecordSpec) -> Iterator[str]:
    """What the header lacks."""
    try:
        found = _rows(opened, lines.DEFAULT_RECORD_BYTES)
        rows = next((rows for rows in found if rows), [b""])
    except lines.DamagedFileError as damage:
        raise ValueError(f"cannot be read: {damage}") from damage
    if isinstance(rows, lines.LongLine):
        raise ValueError(f"the header would have {rows.length:,} bytes")
    header = parse_header(rows[0])
    keys: dict[str, FieldSpec | None] = dict(record.fields)
    if record.id:
        keys.setdefault(record.id, None)
    for name, spec in keys.items():
        if not csv_cells.places(name, spec, header):
            hint = ""
            if spec is not None and len(spec.shape) == 1 and spec.shape[0]:
                hint = f", nor columns '{name}_0' to '{name}_{spec.shape[0] - 1}'"
            yield f"the header has no column '{name}'{hint}; it names {some(header)}"
        elif name in header and header.count(name) > 1:
            yield f"the header names column '{name}' {header.count(name)} times"


def _rows(opened: OpenedFile, most: int) -> Iterator[list[bytes] | lines.LongLine]:
    return whole_rows(lines.split_lines(lines.without_bom(opened.content()), most))


def parse_header(row: bytes) -> tuple[str, ...]:
    """The names of the columns, without blanks around them.

    Raises:
      ValueError: it is not CSV or names nothing.
    """
    try:
        names = next(csv.reader([row.decode()], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"line 1, the header, cannot be read: {error}") from error
    if not any(names):
        raise ValueError("line 1 is empty, expected the names of the columns")
    return tuple(name.strip() for name in names)


CSV = Format(
    "csv",
    CsvDecoder,
    _blocks,
    _check,
    extensions=(".csv",),
    records_are="the first line names the columns",
    raw_problem=(
        "with `source: raw`, found CSV, whose rows mean something with their header only; "
        "expected lines (--input_format=jsonl takes every line as it is) or TFRecord"
    ),
)
