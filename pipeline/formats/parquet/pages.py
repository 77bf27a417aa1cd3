"""The pages of a chunk, as they say of themselves, read without Arrow.

Source: https://parquet.apache.org/docs/file-format/data-pages/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error as struct_error
from struct import unpack_from
from typing import Final

import pyarrow as pa

from pipeline.formats.parquet.thrift import FALSE, I32, STRUCT, Reader

# As Parquet numbers them.
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_STRUCTS = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}
"""Where a page says more, by its kind."""
_LENGTHS, _PREFIXES = 6, 7
_BITS = 4
_LZ4 = 5
_NAMED: Final = (2, 8)
"""Encodings of a page whose values are numbers of values in the dictionary."""

_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
Levels = tuple[int, int]
"""How deep the values of a column are in lists, and in what may be null."""

_NOTHING = memoryview(b"")


@dataclass
class Page:
    """A page.

    Attributes:
      kind: as Parquet numbers it.
      unpacked_bytes: what it becomes when it is decompressed.
      values: how many, nulls and empty lists among them.
      encoding: of its values, as Parquet numbers it.
      level_bytes: of the levels that stand before what is compressed; None if they are within.
      level_encodings: of the levels within: those of lists, those of nulls.
      is_packed: whether its bytes are compressed where those of the chunk are.
      body: its bytes as they are stored.
    """

    kind: int = -1
    unpacked_bytes: int = 0
    values: int = 0
    encoding: int = -1
    level_bytes: int | None = None
    level_encodings: tuple[int, int] = (0, 0)
    is_packed: bool = True
    body: memoryview = _NOTHING

    @property
    def most_bytes(self) -> int:
        """What it takes; one that is not compressed may say anything of that."""
        return max(self.unpacked_bytes, len(self.body))

    @property
    def is_dictionary(self) -> bool:
        """Whether its values are those that other pages name by number."""
        return self.kind == _DICTIONARY

    @property
    def is_data(self) -> bool:
        """Whether its values are those of rows."""
        return self.kind in (_DATA, _DATA_2)

    @property
    def names_values(self) -> bool:
        """Whether it has numbers of values in the dictionary."""
        return self.is_data and self.encoding in _NAMED

    @property
    def has_packed_lengths(self) -> bool:
        """Whether it has texts whose lengths are packed as differences."""
        return self.is_data and self.encoding in (_LENGTHS, _PREFIXES)

    @property
    def has_prefixes(self) -> bool:
        """Whether a text may begin as the one before it."""
        return self.is_data and self.encoding == _PREFIXES

    def unpacked(self, codec: int) -> memoryview:
        """Its bytes, decompressed.

        Args:
          codec: as Parquet numbers it.

        Raises:
          ValueError: they cannot be.
        """
        first = self.level_bytes or 0
        packed, size = self.body[first:], self.unpacked_bytes - first
        if not codec or not self.is_packed or not len(packed):
            return packed
        if size < 0:
            raise ValueError("a page is damaged: its levels are longer than it is")
        try:
            if codec == _LZ4:
                return _hadoop_unpacked(packed, size)
            return _unpacked(_CODECS[codec], packed, size)
        except KeyError:
            raise ValueError(f"a page has a compression that is not known ({codec})") from None
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"a page cannot be unpacked: {error}") from error

    def content(self, codec: int, levels: Levels) -> memoryview:
        """The bytes of its values, decompressed.

        Args:
          codec: as Parquet numbers it.
          levels: of its column.

        Raises:
          ValueError: they cannot be had.
        """
        found = self.unpacked(codec)
        if self.level_bytes is not None:
            return found
        for deepest, encoding in zip(levels, self.level_encodings, strict=True):
            if deepest and encoding == _BITS:
                found = found[(self.values * deepest.bit_length() + 7) // 8 :]
            elif deepest:
                if len(found) < 4:
                    raise ValueError("a page is cut")
                found = found[4 + unpack_from("<I", found)[0] :]
        return found


def _unpacked(codec: str, packed: memoryview, size: int) -> memoryview:
    return memoryview(pa.Codec(codec).decompress(packed, size)).cast("B")  # Arrow's have signs


def _hadoop_unpacked(packed: memoryview, size: int) -> memoryview:
    """LZ4 in frames of Hadoop, each behind its two sizes; or without, as others write it."""
    found, at = bytearray(), 0
    try:
        while at < len(packed):
            made, stored = unpack_from(">II", packed, at)
            at += 8
            if made > size - len(found) or stored > len(packed) - at:
                raise ValueError
            found += _unpacked("lz4_raw", packed[at : at + stored], made)
            at += stored
    except (struct_error, ValueError, pa.ArrowException, OSError):
        return _unpacked("lz4_raw", packed, size)
    return memoryview(found)


def read_pages(stored: memoryview, values: int) -> Iterator[Page]:
    """The pages that Arrow would read. Where one cannot be read they end: Arrow ends there, too.

    Args:
      stored: the bytes of a chunk, and maybe some behind.
      values: how many the chunk has.
    """
    reader, missing = Reader(stored), values
    try:
        while missing > 0 and not reader.is_at_end:
            page = _page(reader)
            yield page
            if page.is_data:
                missing -= page.values
    except (IndexError, KeyError, ValueError):
        return


def _page(reader: Reader) -> Page:
    page, stored_bytes = Page(), -1
    said: dict[int, dict[int, int]] = {}
    for number, kind in reader.fields():
        if number == 1 and kind == I32:
            page.kind = reader.integer(I32)
        elif number == 2 and kind == I32:
            page.unpacked_bytes = max(reader.integer(I32), 0)
        elif number == 3 and kind == I32:
            stored_bytes = reader.integer(I32)
        elif number in _STRUCTS.values() and kind == STRUCT:
            said[number] = _integers(reader)
        else:
            reader.skip(kind)
    if page.kind in _STRUCTS:
        _describe(page, said[_STRUCTS[page.kind]])
    page.body = reader.take(stored_bytes)
    return page


def _describe(page: Page, said: dict[int, int]) -> None:
    """What the struct of its kind says of a page."""
    page.values = said[1]
    if page.values < 0:
        raise ValueError("a page has fewer values than none")
    if page.kind == _DATA_2:
        page.encoding, page.level_bytes = said[4], said[5] + said[6]
        page.is_packed = said.get(7) != FALSE
        if min(said[5], said[6]) < 0:
            raise ValueError("a page has levels of fewer bytes than none")
    else:
        page.encoding, page.level_encodings = said[2], (said.get(4, 0), said.get(3, 0))


def _integers(reader: Reader) -> dict[int, int]:
    """The numbers of a struct; of truth values, their kind."""
    found: dict[int, int] = {}
    for number, kind in reader.fields():
        if kind == I32:
            found[number] = reader.integer(I32)
        else:
            found[number] = kind
            reader.skip(kind)
    return found
