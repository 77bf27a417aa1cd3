"""A Parquet file whose chunks can be looked at before Arrow reads them, and are read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.formats.opened_file import WatchedFile
from pipeline.formats.parquet.footer import Chunk

_PADDING_BYTES = 100
"""Arrow reads so many more of files of old writers, whose index says too few."""
_HOLE_BYTES = 8 << 10
_AT_ONCE_BYTES = 32 << 20
"""As Arrow does it."""


class HeldFile(WatchedFile):
    """A file of which nothing is read but what was looked at, once anything was.

    Args:
      file: seekable.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._held: dict[int, memoryview] | None = None

    def hold(self, chunks: Iterable[Chunk]) -> list[tuple[Chunk, memoryview]]:
        """The bytes of chunks and some behind each, held until they are read once more.

        From now on nothing else can be read. Neighbours are read at once, as storages like it.
        """
        self._held = {}
        found: list[tuple[Chunk, memoryview]] = []
        for neighbours in _neighbours(sorted(chunks, key=lambda chunk: chunk.start)):
            begin = neighbours[0].start
            self.seek(begin)
            data = memoryview(super().read(max(map(_end, neighbours)) - begin))
            for chunk in neighbours:
                held = data[chunk.start - begin : _end(chunk) - begin]
                self._held[chunk.start] = held
                found.append((chunk, held))
        return found

    def read(self, size: int | None = -1, /) -> bytes:
        """See WatchedFile.

        Raises:
          ValueError: others than these bytes.
        """
        if self._held is None:
            return super().read(size)
        begin = self.tell()
        data = self._held.pop(begin, memoryview(b""))
        if size is None or not 0 <= size <= len(data):
            raise ValueError(f"its index is damaged: it has no column of {size} bytes at {begin}")
        self.seek(begin + size)
        # Arrow takes it as it is; a copy of everything that is read would cost a tenth of the time.
        return data[:size]  # type: ignore[return-value]


def _end(chunk: Chunk) -> int:
    return chunk.start + chunk.stored_bytes + _PADDING_BYTES


def _neighbours(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks in groups that are read at once."""
    group: list[Chunk] = []
    for chunk in chunks:
        if group and (
            chunk.start - _end(group[-1]) > _HOLE_BYTES
            or _end(chunk) - group[0].start > _AT_ONCE_BYTES
        ):
            yield group
            group = []
        group.append(chunk)
    if group:
        yield group
