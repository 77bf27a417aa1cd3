"""How many rows of a row group are read at a time, and how, so that memory holds them.

What the index says of the rows is known before. What it cannot say is how often rows have the texts
of a dictionary, or begin as the row before: few bytes name or continue a long text in all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.formats.format import Reading
from pipeline.formats.parquet.delta import check_lengths, prefix_lengths
from pipeline.formats.parquet.dictionary import longest_text
from pipeline.formats.parquet.footer import Chunk, RowGroup
from pipeline.formats.parquet.pages import Levels, Page

_MOST_SWELLING = 1000
"""Bytes of memory for a stored byte: what repeats without end compresses better than anybody's
records, and one of its rows may be as large as all together."""

_SLACK = 2
_SLACK_BYTES = 1 << 20
"""Some writers count less than they should, a little."""


class NoRoomError(ValueError):
    """There is no room for the rows as they are read now: the Room says how they are to be read."""


class Room:
    """The memory for rows of a row group that are read together.

    Attributes:
      rows: how many they are.
      by_number: the chunks, by their number in the row group, whose texts are to be read as numbers
        of texts in their dictionary.

    Args:
      group: the row group.
      chunks: those of its chunks that are read, by number.
      levels: of all columns.
      reading: how files are read.

    Raises:
      ValueError: a row may not have room.
    """

    def __init__(
        self,
        group: RowGroup,
        chunks: Mapping[int, Chunk],
        levels: Sequence[Levels],
        reading: Reading,
    ) -> None:
        self._group_rows = group.rows
        self._levels = levels
        self._reading = reading
        self._texts: dict[int, _Texts] = {}
        self._text_bytes = 0  # what these take at most, of rows that are read together
        self.by_number: frozenset[int] = frozenset()
        self.rows = self._rows(list(chunks.values()))
        self._begun_with = 0, self.by_number

    def begin(self) -> None:
        """The rows begin to be read as it says now."""
        self._begun_with = self.rows, self.by_number

    def check(self, number: int, chunk: Chunk, pages: Sequence[Page]) -> None:
        """Looks at the pages of a chunk, before Arrow makes room for what they say.

        Raises:
          NoRoomError: they are to be read in another way.
          ValueError: they become more than the index says, or a row may not have room.
        """
        _check_sizes(chunk, pages)
        if number not in self._texts:
            self._make_room(number, chunk, pages)
        # Chunks may still come for what began before, and are looked at once.
        if (self.rows, self.by_number) != self._begun_with:
            raise NoRoomError

    def _rows(self, chunks: Sequence[Chunk]) -> int:
        """How many rows have room, as the index says."""
        most, made = self._reading.max_chunk_bytes, sum(chunk.value_bytes for chunk in chunks)
        row_bytes = made // max(self._group_rows, 1)
        if made <= most:
            return self._reading.rows_of(row_bytes)
        uneven = [chunk for chunk in chunks if not chunk.even]
        stored, swollen = sum(c.stored_bytes for c in uneven), sum(c.value_bytes for c in uneven)
        most_swollen = max(most, _MOST_SWELLING * stored)
        if row_bytes > self._reading.max_record_bytes or swollen > most_swollen:
            raise self._too_large(stored or made, swollen or made)
        return max(1, min(self._reading.rows_of(row_bytes), most // row_bytes))

    def _make_room(self, number: int, chunk: Chunk, pages: Sequence[Page]) -> None:
        """For the texts that are longer than their pages say."""
        texts = _found_texts(chunk, pages, self._levels[number])
        texts.more = chunk.values - self._group_rows
        most = self._reading.max_chunk_bytes
        for page in pages if self._with(texts) > most else ():
            if page.is_dictionary:
                texts.longest_named = _longest(page, chunk)
        if self._with(texts) > most and texts.more:
            # One row may have nearly all of them, and which does is known only when they are read.
            if not any(page.has_packed_lengths for page in pages):
                self.by_number |= {number}
            elif texts.all_bytes > max(most, _MOST_SWELLING * chunk.stored_bytes):
                raise self._too_large(chunk.stored_bytes, texts.all_bytes)
            texts = _Texts()
        self._text_bytes = self._with(texts)
        self._texts[number] = texts
        while self._text_bytes > most and self.rows > 1:
            self.rows //= 2
            self._text_bytes = sum(each.most_bytes(self.rows) for each in self._texts.values())

    def _with(self, texts: _Texts) -> int:
        """What such texts of rows that are read together take at most, with these."""
        return self._text_bytes + texts.most_bytes(self.rows)

    def _too_large(self, stored: int, made: int) -> ValueError:
        return ValueError(
            f"{stored:,} bytes of these rows become {made:,} in memory; larger rows are read with "
            f"a larger --max_record_bytes (now {self._reading.max_record_bytes:,})"
        )


@dataclass
class _Texts:
    """The texts of a chunk that are longer than their pages say.

    Attributes:
      named: how often one of the dictionary is named.
      longest_named: the bytes of the longest of the dictionary, at most.
      prefix_bytes: bytes of texts that are those of the one before.
      longest_prefix: the most of a text.
      more: how many more values than rows the chunk has: rows are lists, then.
    """

    named: int = 0
    longest_named: int = 0
    prefix_bytes: int = 0
    longest_prefix: int = 0
    more: int = 0

    @property
    def all_bytes(self) -> int:
        """What all take at most."""
        return self.named * self.longest_named + self.prefix_bytes

    def most_bytes(self, rows: int) -> int:
        """What those of so many rows take at most."""
        longest = max(self.longest_named, self.longest_prefix)
        return min((rows + self.more) * longest, self.all_bytes)


def _found_texts(chunk: Chunk, pages: Sequence[Page], levels: Levels) -> _Texts:
    """The texts of a chunk, of which the dictionary has not been looked at.

    Raises:
      ValueError: a page has more texts than the chunk, or cannot be unpacked.
    """
    texts = _Texts()
    for page in pages:
        if page.has_packed_lengths:
            content = page.content(chunk.codec, levels)
            if not page.has_prefixes:
                check_lengths(content, chunk.values)
            elif len(lengths := prefix_lengths(content, chunk.values)):
                texts.prefix_bytes += int(lengths.sum())
                texts.longest_prefix = max(texts.longest_prefix, int(lengths.max()))
        elif chunk.is_text and page.names_values:
            texts.named += page.values
        elif chunk.is_text and page.is_dictionary:
            texts.longest_named = page.most_bytes
    return texts


def _check_sizes(chunk: Chunk, pages: Sequence[Page]) -> None:
    column = f"the pages of column '{chunk.column}'"
    unpacked = sum(page.unpacked_bytes for page in pages)
    if unpacked > _SLACK * chunk.value_bytes + _SLACK_BYTES:
        raise ValueError(
            f"{column} become {unpacked:,} bytes, its index says {chunk.value_bytes:,}"
        )
    values = sum(page.values for page in pages if page.is_data)
    if values > chunk.values:
        raise ValueError(f"{column} have {values:,} values, its index says {chunk.values:,}")
    for page in pages:
        if page.is_dictionary and page.values * chunk.width > page.unpacked_bytes:
            raise ValueError(
                f"{column} have {page.values:,} values in {page.unpacked_bytes:,} bytes"
            )


def _longest(dictionary: Page, chunk: Chunk) -> int:
    """The longest text of a dictionary, at most."""
    try:
        return longest_text(dictionary.unpacked(chunk.codec))
    except ValueError:
        return dictionary.most_bytes  # Arrow may know better how to unpack it
