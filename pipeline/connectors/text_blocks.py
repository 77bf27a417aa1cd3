"""Reading JSON lines as blocks, so that no line ever is a Beam element of its own."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.connectors import lines
from pipeline.connectors.file_ranges import FileRange, content, open_file
from pipeline.core.block import Block

MAX_BLOCK_BYTES = 8 << 20
"""Blocks of long records hold fewer of them: memory is bounded by bytes, too."""


def json_blocks(part: FileRange, block_rows: int) -> Iterator[Block]:
    """The lines of one range.

    Raises:
      FileNotFoundError: the file is gone.
    """
    count = 0
    with open_file(part.path) as file:
        if part.compressed:
            text = content(file, part)
        else:
            text = lines.text_of_range(file, part.start, part.end)
        if part.start == 0:
            text = lines.without_bom(text)
        try:
            for block in lines.in_blocks(lines.split_lines(text), block_rows, MAX_BLOCK_BYTES):
                count += len(block)
                yield Block(block, part.path)
        except lines.DamagedFileError as damage:
            yield Block((), part.path, damaged(part.path, damage, f"{count} whole lines"))


def damaged(path: str, damage: lines.DamagedFileError, before: str) -> str:
    """Says that a compressed file could not be read to its end.

    Args:
      path: the file's.
      damage: what was met.
      before: what was read until then, in words.
    """
    return (
        f"{path} cannot be read to its end: {damage}; reading stopped at byte "
        f"{damage.text_bytes} of its text, after {before}"
    )
