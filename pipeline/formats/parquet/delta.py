"""Texts whose lengths are packed as differences: what they become, before Arrow makes them.

Arrow believes how many lengths there are. And a text may begin as the one before it does, however
long that is, so few bytes are many.

Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array

_CUT = "a page is damaged: its lengths are cut"
_MOST_BITS = 32
_PADDING_BYTES = 8
_MOST_IN_BLOCK = 1 << 17
"""Writers put hundreds there. So many are unpacked together, so that it takes little memory."""


def check_lengths(values: memoryview, most: int) -> None:
    """Looks at texts that are there whole (DELTA_LENGTH_BYTE_ARRAY).

    Args:
      values: of the page, decompressed.
      most: how many texts there are at most.

    Raises:
      ValueError: they are more, or damaged.
    """
    if len(values):
        _numbers(values, 0, most)


def prefix_lengths(values: memoryview, most: int) -> Array:
    """How many bytes of each text are those of the one before (DELTA_BYTE_ARRAY).

    Args:
      values: of the page, decompressed. What is not in a prefix is there whole.
      most: how many texts there are at most.

    Returns:
      int64 of shape ``(texts,)``.

    Raises:
      ValueError: they are more, or damaged.
    """
    if not len(values):
        return np.zeros(0, np.int64)
    padded = bytes(values) + bytes(_PADDING_BYTES)
    numbers = _numbers(padded, 0, most)
    try:
        lengths = numbers.unpacked()
    except IndexError:
        raise ValueError(_CUT) from None
    _numbers(padded, numbers.end, most)
    if len(lengths) and not 0 <= lengths.min() <= lengths.max() <= len(values):
        raise ValueError("a page is damaged: a text begins as one that is not there")
    return lengths


def _numbers(data: bytes | memoryview, at: int, most: int) -> _Numbers:
    try:
        return _Numbers(data, at, most)
    except IndexError:
        raise ValueError(_CUT) from None


class _Numbers:
    """Numbers that are packed as differences (DELTA_BINARY_PACKED).

    Attributes:
      end: where they end, once they are unpacked.

    Args:
      data: where they are, and _PADDING_BYTES.
      at: where they begin.
      most: how many they are at most.

    Raises:
      ValueError: they are more, or damaged.
      IndexError: they are cut.
    """

    def __init__(self, data: bytes | memoryview, at: int, most: int) -> None:
        self._data = data
        block, at = _varint(data, at)
        self._parts, at = _varint(data, at)
        self._count, at = _varint(data, at)
        self._first, self.end = _zigzag(data, at)
        if self._count > most:
            raise ValueError(f"a page has {self._count:,} lengths of {most:,} values")
        if not self._parts or block % (8 * self._parts) or not 0 < block <= _MOST_IN_BLOCK:
            raise ValueError("a page is damaged: its lengths are in no blocks")
        self._block = block

    def unpacked(self) -> Array:
        """All of them: int64 of shape ``(numbers,)``."""
        data, block, part = self._data, self._block, self._block // self._parts
        found = np.zeros(self._count, np.int64)
        found[:1] = self._first
        blocks: list[tuple[int, int]] = []
        all_widths = bytearray()
        at, done, missing = self.end, 1, self._count - 1
        while missing > 0:
            low, at = _zigzag(data, at)
            widths = bytes(data[at : at + self._parts])
            at += self._parts
            if missing < block:  # what is behind the last number is not there
                widths = widths[: -(-missing // part)].ljust(self._parts, b"\0")
            blocks.append((at, low))
            all_widths += widths
            at += sum(widths) * part // 8
            missing -= block
            if at > len(data) - _PADDING_BYTES:
                raise IndexError
            if len(blocks) * block >= _MOST_IN_BLOCK or missing <= 0:
                numbers = self._differences(blocks, all_widths, part)[: self._count - done]
                found[done : done + len(numbers)] = numbers
                done += len(numbers)
                blocks.clear()
                all_widths.clear()
        self.end = at
        return np.cumsum(found, out=found)

    def _differences(
        self, blocks: list[tuple[int, int]], all_widths: bytearray, part: int
    ) -> Array:
        """Those of some blocks, whose parts have numbers of these widths in bits.

        Args:
          blocks: where the parts of each begin, and what is added to each number.
          all_widths: of all parts.
          part: how many numbers it has.
        """
        begins, lows = np.array(blocks, np.int64).T
        widths = np.frombuffer(bytes(all_widths), np.uint8).reshape(len(blocks), self._parts)
        if widths.max() > _MOST_BITS:
            raise ValueError(f"a page is damaged: a length of {widths.max()} bits")
        sizes = widths.astype(np.int64) * part // 8
        starts = begins[:, None] + np.cumsum(sizes, axis=1) - sizes
        # The eight bytes from any byte on have any number that begins in it.
        words = np.ndarray(len(self._data) - 7, "<u8", self._data, strides=(1,))
        bits = widths[:, :, None].astype(np.int64) * np.arange(part)
        found = words[starts[:, :, None] + (bits >> 3)] >> (bits & 7).astype(np.uint64)
        found &= ((1 << widths.astype(np.uint64)) - 1)[:, :, None]
        differences: Array = found.astype(np.int64) + lows[:, None, None]
        return differences.ravel()


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
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


def _zigzag(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
