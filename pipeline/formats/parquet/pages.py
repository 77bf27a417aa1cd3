"""The pages of a chunk, as they say of themselves, read without Arrow.

Source: https://parquet.apache.org/docs/file-format/data-pages/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from pipeline.formats.parquet.thrift import I32, STRUCT, Reader

# As Parquet numbers them.
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_STRUCTS = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}
"""Where a page says more, by its kind."""
_NAMED: Final = (2, 8)
"""Encodings of a page whose values are numbers of values in the dictionary."""

_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
"""Without those that pyarrow has no name for."""

_NOTHING = memoryview(b"")


@dataclass
class Page:
    """A page.

    Attributes:
      kind: as Parquet numbers it.
      unpacked_bytes: what it becomes when it is decompressed.
      values: how many, nulls and empty lists among them.
      encoding: of its values, as Parquet numbers it.
      body: its bytes as they are stored.
    """

    kind: int = -1
    unpacked_bytes: int = 0
    values: int = 0
    encoding: int = -1
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

    def unpacked(self, codec: int) -> memoryview:
        """Its bytes, decompressed.

        Args:
          codec: as Parquet numbers it.

        Raises:
          ValueError: they cannot be.
        """
        if not codec:
            return self.body
        if codec not in _CODECS:
            raise ValueError(f"codec {codec} is not known here")
        try:
            found = pa.Codec(_CODECS[codec]).decompress(self.body, self.unpacked_bytes)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"a page cannot be unpacked: {error}") from error
        return memoryview(found).cast("B")  # Arrow's bytes have signs


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
    found: dict[int, tuple[int, int]] = {}
    for number, kind in reader.fields():
        if number == 1 and kind == I32:
            page.kind = reader.integer(I32)
        elif number == 2 and kind == I32:
            page.unpacked_bytes = max(reader.integer(I32), 0)
        elif number == 3 and kind == I32:
            stored_bytes = reader.integer(I32)
        elif number in _STRUCTS.values() and kind == STRUCT:
            found[number] = _values_and_encoding(reader, 4 if number == _STRUCTS[_DATA_2] else 2)
        else:
            reader.skip(kind)
    if page.kind in _STRUCTS:
        page.values, page.encoding = found[_STRUCTS[page.kind]]
    page.body = reader.take(stored_bytes)
    if page.values < 0:
        raise ValueError("a page has fewer values than none")
    return page


def _values_and_encoding(reader: Reader, encoding_number: int) -> tuple[int, int]:
    """Reads the struct that says what is in a page."""
    values = encoding = -1
    for number, kind in reader.fields():
        if number == 1 and kind == I32:
            values = reader.integer(I32)
        elif number == encoding_number and kind == I32:
            encoding = reader.integer(I32)
        else:
            reader.skip(kind)
    return values, encoding
