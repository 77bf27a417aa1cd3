"""JSON lines as blocks, so that no line ever is a Beam element of its own."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.batch.block import Block
from pipeline.formats import lines
from pipeline.formats.format import Format, Reading
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.formats.opened_file import OpenedFile


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The lines of one range."""
    count = 0
    if opened.compression:
        text = opened.content()
    else:
        text = lines.text_of_range(opened.file, opened.start, opened.end)
    if opened.start == 0:
        text = lines.without_bom(text)
    most = reading.max_record_bytes
    try:
        for block in lines.in_blocks(lines.split_lines(text, most), reading.block_rows):
            if isinstance(block, lines.LongLine):
                before = f"{count} whole lines from byte {opened.start} on"
                yield Block((), opened.path, block.told(opened.path, before, most))
                continue
            count += len(block)
            yield Block(block, opened.path)
    except lines.DamagedFileError as damage:
        yield Block((), opened.path, damage.told(opened.path, f"{count} whole lines"))


JSONL = Format(
    "jsonl",
    JsonDecoder,
    _blocks,
    extensions=(".jsonl", ".json"),
    records_are="one JSON object a line",
    splittable=True,
    nests=True,
)
