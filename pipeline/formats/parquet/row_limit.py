"""How many rows of a row group are read at a time, so that memory holds them.

The bound is what the rows take at most, whatever is in them. What is backed by as many stored bytes
is believed to be even: who wants to fill the memory with that has to send as much.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.formats.format import Reading
from pipeline.formats.parquet import pages as parquet_pages
from pipeline.formats.parquet.footer import Chunk
from pipeline.formats.parquet.pages import Page

_LEVELS_BYTES = 4
"""Of a value in a list: where it begins, and whether it is there."""
_PAGE_BYTES = 2 << 20
"""Most writers end a page earlier."""
_PAGE_SWELLING = 16
_LIST_SWELLING = 64
_MOST_SWELLING = 100
"""Bytes of memory for a stored byte of a page, of lists, of a page that is unpacked whole."""


@dataclass(frozen=True)
class _Stretch:
    """The rows of a page whose texts are written out."""

    first: int
    end: int
    page: Page

    def share(self, rows: int) -> int:
        """The most bytes of some of its rows, fewer than all."""
        whole, stored = self.page.unpacked_bytes, self.page.stored_bytes
        if whole > max(_PAGE_BYTES, _PAGE_SWELLING * stored):
            return whole
        return whole * rows // (self.end - self.first)


@dataclass
class _Load:
    """What rows of a chunk take.

    Attributes:
      all_bytes: all of them, at most.
      row_bytes: each, at most, or on average where that is believed.
      texts: where texts are written out.
    """

    all_bytes: int
    row_bytes: float
    texts: list[_Stretch] = field(default_factory=list)

    def most_bytes(self, rows: int) -> int:
        """The most that so many consecutive rows take, counted from the first row on."""
        whole: Counter[int] = Counter()
        share = 0
        for stretch in self.texts:
            if stretch.end - stretch.first <= rows:
                last = max(stretch.end - 1, stretch.first)
                for slice_ in {stretch.first // rows, last // rows}:
                    whole[slice_] += stretch.page.unpacked_bytes
            else:
                share = max(share, stretch.share(rows))
        texts = max(whole.values(), default=0) + 2 * share
        return min(self.all_bytes, int(rows * self.row_bytes) + texts)


def rows_at_once(
    group_rows: int, chunks: Sequence[tuple[Chunk, Sequence[Page]]], reading: Reading
) -> int:
    """How many rows of a row group are read at a time.

    Args:
      group_rows: how many it has.
      chunks: those that are read, with their pages.
      reading: how files are read.

    Raises:
      ValueError: one row, or one page, may take more than the limits, or a page is damaged.
    """
    most, rows = reading.max_chunk_bytes, max(1, min(reading.block_rows, group_rows))
    for chunk, pages in chunks:
        for page in pages:
            if page.unpacked_bytes > max(most, _MOST_SWELLING * page.stored_bytes):
                raise _too_large(
                    f"{page.stored_bytes:,} bytes of a page of column '{chunk.column}' become "
                    f"{page.unpacked_bytes:,}",
                    reading,
                )
            page.check(chunk)
    if sum(_all_bytes(chunk, pages, _longest(chunk, pages)) for chunk, pages in chunks) <= most:
        return rows
    share = most // len(chunks)
    loads = [_load(chunk, pages, group_rows, rows, reading, share) for chunk, pages in chunks]
    while (found := sum(load.most_bytes(rows) for load in loads)) > most:
        if rows == 1:
            raise _too_large(f"a row may become {found:,} bytes", reading)
        rows //= 2
    return rows


def _load(
    chunk: Chunk, pages: Sequence[Page], group_rows: int, rows: int, reading: Reading, share: int
) -> _Load:
    longest = _longest(chunk, pages)
    if rows * longest > _PAGE_BYTES:
        longest = _longest(chunk, pages, exactly=True)
    whole, leaf = _all_bytes(chunk, pages, longest), chunk.leaf
    data = [page for page in pages if not page.is_dictionary]
    if not leaf.repetition:
        begun = [page.values for page in data]
        return _Load(whole, leaf.width + longest, _stretches(chunk, data, begun))
    if whole <= max(share, _LIST_SWELLING * chunk.stored_bytes):
        return _Load(whole, whole / max(group_rows, 1))
    values, begun = parquet_pages.row_lengths(chunk, data)
    row_bytes = values * (leaf.width + _LEVELS_BYTES + longest)
    if row_bytes > reading.max_record_bytes:
        raise _too_large(
            f"a row of column '{chunk.column}' may become {row_bytes:,} bytes", reading
        )
    return _Load(whole, row_bytes, _stretches(chunk, data, begun))


def _stretches(chunk: Chunk, pages: Sequence[Page], rows: Sequence[int]) -> list[_Stretch]:
    first, stretches = 0, []
    for page, count in zip(pages, rows, strict=True):
        if chunk.leaf.is_text and not page.repeats_values:
            stretches.append(_Stretch(first, first + count, page))
        first += count
    return stretches


def _all_bytes(chunk: Chunk, pages: Sequence[Page], longest: int) -> int:
    """The most that all values of a chunk take."""
    made = 0
    leaf = chunk.leaf
    each = leaf.width + (_LEVELS_BYTES if leaf.repetition else 0)
    for page in pages:
        if not page.is_dictionary:
            made += page.values * each
            if leaf.is_text:
                made += page.values * longest if page.repeats_values else page.unpacked_bytes
    return made


def _longest(chunk: Chunk, pages: Sequence[Page], exactly: bool = False) -> int:
    """The longest text that rows of a chunk name or continue, at most."""
    longest = 0
    for page in pages if chunk.leaf.is_text else ():
        if page.is_dictionary:
            found = page.unpacked_bytes
            if exactly:
                with contextlib.suppress(ValueError):
                    found = parquet_pages.longest_text(page)
            longest = max(longest, found)
        elif page.continues_values:
            longest = max(longest, page.unpacked_bytes)
    return longest


def _too_large(found: str, reading: Reading) -> ValueError:
    return ValueError(
        f"{found} in memory; larger rows are read with a larger --max_record_bytes "
        f"(now {reading.max_record_bytes:,})"
    )
