"""The pages of a chunk, read without Arrow: what they become in memory, before they do.

Arrow makes room for what a page says of itself, whatever the index said. And few bytes may be many:
a dictionary holds a value once for all rows that name it, a value may be written as the end behind
that of the row before, lists repeat in a run of any length.

Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import unpack_from

import numpy as np
import pyarrow as pa

from pipeline.formats.parquet import packed_numbers
from pipeline.formats.parquet.footer import Chunk
from pipeline.formats.parquet.thrift import FALSE, INTEGERS, STRUCT, Reader

# As Parquet numbers them.
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 5: "lz4_raw", 6: "zstd", 7: "lz4_raw"}
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_BY_NUMBER = (2, 8)
_DELTA_LENGTHS, _DELTA_PREFIXES = 6, 7
_NOTHING = memoryview(b"")


@dataclass
class Page:
    """A page, as it says of itself.

    Attributes:
      kind: as Parquet numbers it.
      unpacked_bytes, stored_bytes: of all of it.
      values: how many, nulls and empty lists among them.
      encoding: of its values.
      body: its bytes, compressed.
      codec: how they are; empty if they are not.
      levels_bytes: bytes of levels that stand before them, not compressed: those of lists, those of
        nulls. None if they are in the body, each behind its length.
    """

    kind: int = -1
    unpacked_bytes: int = 0
    stored_bytes: int = -1
    values: int = 0
    encoding: int = -1
    body: memoryview = _NOTHING
    codec: str = ""
    levels_bytes: tuple[int, int] | None = None

    @property
    def is_dictionary(self) -> bool:
        """Whether its values are those that other pages name by number."""
        return self.kind == _DICTIONARY

    @property
    def repeats_values(self) -> bool:
        """Whether the values of its rows may be more than its bytes."""
        return self.encoding in (*_BY_NUMBER, _DELTA_PREFIXES)

    @property
    def continues_values(self) -> bool:
        """Whether a value may begin as the one before it does, however long that is."""
        return self.encoding == _DELTA_PREFIXES

    def content(self) -> memoryview:
        """Its bytes, unpacked.

        Raises:
          ValueError: it cannot be unpacked.
        """
        first = sum(self.levels_bytes or ())
        packed, room = self.body[first:], self.unpacked_bytes - first
        if not self.codec or not room:
            return self.body
        if room < 0:
            raise ValueError("a page is damaged: its levels are longer than it is")
        try:
            unpacked = pa.Codec(self.codec).decompress(packed, room)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"a page cannot be unpacked: {' '.join(str(error).split())}") from None
        if first:
            unpacked = bytes(self.body[:first]) + bytes(unpacked)
        return memoryview(unpacked).cast("B")  # Arrow's have signs

    def levels(self, chunk: Chunk) -> memoryview:
        """The levels of its lists: in which list each value begins, packed.

        Raises:
          ValueError: they cannot be had.
        """
        if self.levels_bytes is not None:
            return self.body[: self.levels_bytes[0]]
        return _behind_length(self.content()) if chunk.leaf.repetition else _NOTHING

    def check(self, chunk: Chunk) -> None:
        """Looks at what Arrow believes while it makes room: the numbers of lengths in a page.

        Raises:
          ValueError: they are more than its values.
        """
        if not chunk.leaf.is_text or self.encoding not in (_DELTA_LENGTHS, _DELTA_PREFIXES):
            return
        values = self._values(chunk)
        for _ in range(1 + (self.encoding == _DELTA_PREFIXES)):
            count, end = packed_numbers.extent(values)
            if count > self.values:
                raise ValueError(f"a page of {self.values:,} values has {count:,} lengths")
            values = values[end:]

    def _values(self, chunk: Chunk) -> memoryview:
        content = self.content()
        if self.levels_bytes is not None:
            return content[sum(self.levels_bytes) :]
        for is_there in (chunk.leaf.repetition, chunk.leaf.definition):
            if is_there:
                content = content[4 + len(_behind_length(content)) :]
        return content


def read_pages(chunk: Chunk, stored: memoryview) -> Iterator[Page]:
    """The pages of a chunk that Arrow would read. Where one cannot be read, Arrow ends, too.

    Args:
      chunk: as the index has it.
      stored: its bytes.
    """
    reader, missing = Reader(stored), chunk.values
    try:
        while missing > 0 and not reader.is_at_end:
            page = _page(reader, chunk.codec)
            yield page
            if page.kind in (_DATA, _DATA_2):
                missing -= page.values
    except (IndexError, KeyError, ValueError):
        return


def longest_text(page: Page) -> int:
    """The bytes of the longest value in a dictionary of texts.

    Raises:
      ValueError: it cannot be unpacked.
    """
    content = page.content()
    values = np.frombuffer(content, np.uint8)
    # Each text stands behind its length. Where all are short and no text looks like a length, numpy
    # finds the lengths ten times as fast as going from one to the next.
    is_zero = values == 0
    starts = np.flatnonzero(is_zero[1:-2] & is_zero[2:-1] & is_zero[3:])
    lengths = values[starts].astype(np.int64)
    ends = starts + 4 + lengths
    if len(starts) and not starts[0] and (ends == np.append(starts[1:], len(values))).all():
        return int(lengths.max())
    at, end, longest = 0, len(content) - 3, 0
    while at < end:
        (length,) = unpack_from("<I", content, at)
        at += 4 + length
        if length > longest:
            longest = length
    return min(longest, len(content))


def row_lengths(chunk: Chunk, pages: Sequence[Page]) -> tuple[int, list[int]]:
    """The most values of a row, and how many rows begin in each page, of a chunk of lists.

    Raises:
      ValueError: the levels of a page cannot be read.
    """
    width, current, longest = chunk.leaf.repetition.bit_length(), 0, 0
    rows: list[int] = []
    for page in pages:
        begun, missing = 0, page.values
        for run in packed_numbers.runs(page.levels(chunk), width, page.values):
            if isinstance(run, tuple):
                level, length = run
                missing -= length
                if level:
                    current += length
                elif length:
                    longest, current, begun = max(longest, current), 1, begun + length
            else:
                missing -= len(run)
                starts = np.flatnonzero(run == 0)
                if len(starts):
                    inside = int(np.diff(starts).max(initial=0))
                    longest = max(longest, current + int(starts[0]), inside)
                    current, begun = len(run) - int(starts[-1]), begun + len(starts)
                else:
                    current += len(run)
        current += missing
        rows.append(begun)
    return max(longest, current), rows


def _behind_length(content: memoryview) -> memoryview:
    if len(content) < 4:
        raise ValueError("a page is cut")
    (length,) = unpack_from("<I", content)
    return content[4 : 4 + length]


def _page(reader: Reader, codec: int) -> Page:
    page = Page(codec=_CODECS.get(codec, ""))
    for number, kind in reader.fields():
        if number == 1 and kind in INTEGERS:
            page.kind = reader.integer()
        elif number == 2 and kind in INTEGERS:
            page.unpacked_bytes = max(reader.integer(), 0)
        elif number == 3 and kind in INTEGERS:
            page.stored_bytes = reader.integer()
        elif number in (5, 7, 8) and kind == STRUCT:
            _describe(reader, page, number == 8)
        else:
            reader.skip(kind)
    page.body = memoryview(reader.take(page.stored_bytes))
    if not codec:
        page.unpacked_bytes = page.stored_bytes
    return page


def _describe(reader: Reader, page: Page, is_second_version: bool) -> None:
    """Reads the struct that says what is in a page."""
    found: dict[int, int] = {}
    for number, kind in reader.fields():
        if kind in INTEGERS:
            found[number] = reader.integer()
        else:
            reader.skip(kind)
            if number == 7 and kind == FALSE:
                page.codec = ""
    page.values = max(found.get(1, 0), 0)
    page.encoding = found.get(4 if is_second_version else 2, -1)
    if is_second_version:
        page.levels_bytes = (max(found.get(6, 0), 0), max(found.get(5, 0), 0))
