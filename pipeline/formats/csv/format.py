"""CSV files as blocks of rows.

A line break may be inside quotes, and nothing in the middle of a file tells whether it is. So a
file is read from its start to its end by one worker; several files are read by several.

The first line of each file is its header if it names all that a record needs. If it does not, as in
the parts that `split` makes of a file, it may be a record: then it is read, and refused, as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.batch.block import Block
from pipeline.formats import lines
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.csv.header import Header, lacking, parse_header, problems
from pipeline.formats.csv.rows import whole_rows
from pipeline.formats.format import Format, Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.spec.record import RecordSpec


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The rows of a file behind its header; the first line as well, where it is none."""
    path, most = opened.path, reading.max_record_bytes
    header: Header | None = None
    line = 1
    try:
        for block in lines.in_blocks(_rows(opened, most), reading.block_rows):
            if isinstance(block, lines.LongLine):
                message = block.told(path, f"{line - 1} whole lines", most)
                yield Block((), path, message, format="csv")
                header = header or ()
                line += 1
                continue
            payloads = block
            if header is None:
                try:
                    header = parse_header(block[0])
                except ValueError as error:
                    if reading.record is None:
                        yield Block((), path, f"{path}: {error}", format="csv")
                        return
                    header = ()
                if reading.record is None or not lacking(reading.record, header):
                    payloads = block[1:]
                    line += 1 + block[0].count(b"\n")
            if payloads:
                yield Block(payloads, path, format="csv", first=line, header=header)
            line += sum(1 + row.count(b"\n") for row in payloads)
    except lines.DamagedFileError as damage:
        yield Block((), path, damage.told(path, f"{line - 1} whole lines"), format="csv")


def _check(opened: OpenedFile, record: RecordSpec, pass_through: Sequence[str]) -> Iterator[str]:
    """What the header lacks or has twice."""
    try:
        found = _rows(opened, lines.DEFAULT_RECORD_BYTES)
        rows = next((rows for rows in found if rows), [b""])
    except lines.DamagedFileError as damage:
        raise ValueError(f"cannot be read: {damage}") from damage
    if isinstance(rows, lines.LongLine):
        raise ValueError(f"the header would have {rows.length:,} bytes")
    yield from problems(record, pass_through, parse_header(rows[0]))


def _rows(opened: OpenedFile, most: int) -> Iterator[list[bytes] | lines.LongLine]:
    text = lines.without_bom(opened.content())
    return whole_rows(lines.split_lines(text, most, exact=True))


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
