"""Numbers as Parquet packs them: as differences, and as runs.

Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.batch.columns import Array


def extent(data: memoryview) -> tuple[int, int]:
    """How many numbers are packed as differences (DELTA_BINARY_PACKED), and where they end.

    Raises:
      ValueError: they are cut or damaged.
    """
    try:
        block, at = _varint(data, 0)
        parts, at = _varint(data, at)
        count, at = _varint(data, at)
        _, at = _varint(data, at)
        if not parts or block % parts:
            raise ValueError("a page is damaged: its numbers are in no blocks")
        part, missing = block // parts, count - 1
        while missing > 0:
            _, at = _varint(data, at)
            widths = data[at : at + parts]
            at += parts
            for number in range(parts):
                if missing <= 0:
                    break
                at += widths[number] * part // 8
                missing -= part
            if not block:
                raise ValueError("a page is damaged: its numbers are in no blocks")
    except IndexError:
        raise ValueError("a page is damaged: its numbers are cut") from None
    return count, at


def runs(data: memoryview, width: int, count: int) -> Iterator[tuple[int, int] | Array]:
    """Numbers packed as runs and groups of bits (RLE).

    Args:
      data: the packed numbers.
      width: bits of each.
      count: how many there are; fewer come where the data is cut.

    Yields:
      a number and how often it stands there, or some numbers.

    Raises:
      ValueError: they are damaged.
    """
    at, size = 0, (width + 7) // 8
    while count > 0 and at < len(data):
        try:
            head, at = _varint(data, at)
        except IndexError:
            return
        if head & 1:
            groups = min(head >> 1, (count + 7) // 8)
            bits = np.unpackbits(
                np.frombuffer(data[at : at + groups * width], np.uint8), bitorder="little"
            )
            at += (head >> 1) * width
            numbers = bits[: len(bits) // width * width].reshape(-1, width) @ (
                1 << np.arange(width)
            )
            yield numbers[:count]
            count -= len(numbers)
            if not len(numbers):
                return
        else:
            length = min(head >> 1, count)
            yield int.from_bytes(data[at : at + size], "little"), length
            at += size
            count -= length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a page is damaged: a number of more than 64 bits")
