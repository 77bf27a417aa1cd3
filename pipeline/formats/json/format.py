"""JSON lines, or an array, as blocks, so that no line ever is a Beam element of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from pipeline.batch.block import Block
from pipeline.formats import lines, looks
from pipeline.formats.format import Format, Reading
from pipeline.formats.json import array
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.formats.opened_file import OpenedFile


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The lines of one range, or the values of an array."""
    count, what = 0, "whole lines"
    begin, most = opened.head, reading.max_record_bytes
    text = opened.content()
    if opened.compression:
        begin = next(text, b"")  # its first bytes may not have told any of the text
        text = chain((begin,), text)
    is_array = looks.is_json_array(begin) and not reading.is_raw
    if not (opened.compression or is_array):
        text = opened.lines()
    if opened.start == 0:
        text = lines.without_bom(text)
    if is_array:
        text, what = array.as_lines(text), "values (the last may be cut)"
    try:
        for block in lines.in_blocks(lines.split_lines(text, most), reading.block_rows):
            if isinstance(block, lines.LongLine):
                before = f"{count} {what} from byte {opened.start} on"
                yield Block((), opened.path, block.told(opened.path, before, most))
                continue
            count += len(block)
            yield Block(block, opened.path)
    except lines.DamagedFileError as damage:
        yield Block((), opened.path, damage.told(opened.path, f"{count} {what}"))


JSONL = Format(
    "jsonl",
    JsonDecoder,
    _blocks,
    extensions=(".jsonl", ".json"),
    records_are="one JSON object a line, or one array of objects",
    splittable=True,
    nests=True,
)
