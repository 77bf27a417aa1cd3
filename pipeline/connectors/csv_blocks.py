"""Reading CSV as blocks of rows.

A line break may be inside quotes, and nothing in the middle of a file tells whether it is. So a
file is read from its start to its end by one worker; several files are read by several.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from pipeline.connectors import lines
from pipeline.connectors.file_ranges import FileRange, content, open_file
from pipeline.connectors.text_blocks import MAX_BLOCK_BYTES, damaged
from pipeline.core.block import Block
from pipeline.core.csv_rows import whole_rows


def csv_blocks(part: FileRange, block_rows: int) -> Iterator[Block]:
    """The rows of a file behind its header.

    Raises:
      FileNotFoundError: the file is gone.
    """
    header: tuple[str, ...] = ()
    line = 1
    with open_file(part.path) as file:
        text = lines.without_bom(content(file, part))
        rows = whole_rows(lines.split_lines(text))
        try:
            for block in lines.in_blocks(rows, block_rows, MAX_BLOCK_BYTES):
                payloads = block
                if not header:
                    try:
                        header = parse_header(block[0])
                    except ValueError as error:
                        yield Block((), part.path, f"{part.path}: {error}", format="csv")
                        return
                    payloads = block[1:]
                    line += 1 + block[0].count(b"\n")
                if payloads:
                    yield Block(payloads, part.path, format="csv", first=line, header=header)
                line += sum(1 + row.count(b"\n") for row in payloads)
        except lines.DamagedFileError as damage:
            yield Block((), part.path, damaged(part.path, damage, f"{line - 1} whole lines"))


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
