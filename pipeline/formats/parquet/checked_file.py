"""A Parquet file whose pages are looked at when they come, before Arrow makes room for them.

The index says how much a chunk becomes, and by that it is let in. The pages say it again, each for
itself, and Arrow makes room for what they say: a file whose index says less than its pages would
fill the memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from pipeline.formats.opened_file import WatchedFile
from pipeline.formats.parquet.footer import Chunk
from pipeline.formats.parquet.pages import read_pages
from pipeline.formats.parquet.room import Room

_PADDING_BYTES = 100
"""Arrow reads so many more of files of old writers, whose index says too few."""


class CheckedFile(WatchedFile):
    """A file of which Arrow gets those chunks only that have room.

    Arrow reads each chunk at once, alone or with its neighbours.

    Args:
      file: seekable.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._room: Room | None = None
        self._chunks: dict[int, tuple[int, Chunk]] = {}
        self._starts: list[int] = []

    def expect(self, chunks: Mapping[int, Chunk], room: Room) -> None:
        """From now on only these chunks are read.

        Args:
          chunks: by their number in the row group.
          room: for their rows.
        """
        self._room = room
        self._chunks = {chunk.start: (number, chunk) for number, chunk in chunks.items()}
        self._starts = sorted(self._chunks)

    def read(self, size: int | None = -1, /) -> bytes:
        """See WatchedFile.

        Raises:
          NoRoomError, ValueError: what is read must not come to Arrow.
        """
        if self._room is None:
            return super().read(size)
        begin = self.tell()
        data = super().read(size)
        view, end = memoryview(data), begin + len(data)
        if begin not in self._chunks:
            raise ValueError(f"its index is damaged: it has no column at {begin}")
        inside = slice(bisect_left(self._starts, begin), bisect_left(self._starts, end))
        for start in self._starts[inside]:
            number, chunk = self._chunks[start]
            stored = view[start - begin : chunk.end + _PADDING_BYTES - begin]
            self._room.check(number, chunk, list(read_pages(stored, chunk.values)))
        return data
