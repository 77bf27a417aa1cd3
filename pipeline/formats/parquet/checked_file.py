"""A Parquet file whose pages are looked at when they come, before Arrow decompresses them.

The index says how much a chunk becomes, and by that it is let in. The pages say it again, each for
itself, and Arrow makes room for what they say: a file whose index says less than its pages would
fill the memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.formats.opened_file import WatchedFile
from pipeline.formats.parquet import footer
from pipeline.formats.parquet.footer import Chunk

_SLACK = 2
_SLACK_BYTES = 1 << 20
"""Some writers count less than they should, a little."""


class SwollenPagesError(ValueError):
    """The pages of a chunk become more than the index says."""


class CheckedFile(WatchedFile):
    """A file that raises where Arrow reads a chunk of such pages.

    Arrow reads each chunk at once, alone or with its neighbours.

    Args:
      file: seekable.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._expected: dict[int, Chunk] = {}

    def expect(self, chunks: Iterable[Chunk]) -> None:
        """Says which chunks are going to be read."""
        self._expected = {chunk.start: chunk for chunk in chunks}

    def read(self, size: int | None = -1, /) -> bytes:
        """See WatchedFile.

        Raises:
          SwollenPagesError: what is read has such a chunk.
        """
        begin = self.tell()
        data = super().read(size)
        end = begin + len(data)
        for start, chunk in list(self._expected.items()):
            if begin <= start and start + chunk.stored_bytes <= end:
                del self._expected[start]
                _check(chunk, memoryview(data)[start - begin :][: chunk.stored_bytes])
        return data


def _check(chunk: Chunk, stored: memoryview) -> None:
    found = footer.unpacked_bytes(stored)
    if found > _SLACK * chunk.value_bytes + _SLACK_BYTES:
        raise SwollenPagesError(
            f"the pages of column '{chunk.column}' become {found:,} bytes, its index says "
            f"{chunk.value_bytes:,}"
        )
