"""The blocks of many files in order, of which small remote ones are fetched several at once.

A bucket answers after tens of milliseconds, however small the object: thousands of small objects,
one after the other, would take minutes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from multiprocessing.pool import AsyncResult, ThreadPool

from pipeline.connectors.folder_listing import FileVersion
from pipeline.connectors.text_blocks import FileRange, read_range
from pipeline.core.block import Block, Origin
from pipeline.serving.artifacts import is_local

_AT_ONCE = 8

# What is fetched ahead is held in memory, decompressed.
_SMALL_BYTES = 128 << 10


def blocks_of_file(file: FileVersion, block_rows: int) -> Iterator[Block]:
    """The lines of one file, with their origins. Streams: holds about a block at a time.

    Raises:
      FileNotFoundError: the file is gone.
      Exception: as the storage has it, when it cannot be read.
    """
    if file.size_bytes == 0:
        return
    origin = Origin(file.modified_ns // 1000, {"file": file.path})
    for block in read_range(FileRange(file.path, 0, file.size_bytes), block_rows):
        yield replace(block, origins=(origin,) * len(block.payloads))


def blocks_of_files(
    files: Sequence[FileVersion], block_rows: int
) -> Generator[tuple[FileVersion, Iterator[Block]], None, None]:
    """Each file with its blocks, in the order given; going through them may raise as above."""
    small = {file for file in files if not is_local(file.path) and file.size_bytes < _SMALL_BYTES}
    # Its threads are daemons: one that waits for a dead storage does not keep the process alive.
    pool = ThreadPool(_AT_ONCE) if len(small) > 1 else None
    ahead: deque[tuple[FileVersion, Iterator[Block]]] = deque()
    remaining = iter(files)
    try:
        while True:
            for file in itertools.islice(remaining, _AT_ONCE - len(ahead)):
                blocks = blocks_of_file(file, block_rows)
                if pool and file in small:
                    blocks = _when_fetched(pool.apply_async(list, (blocks,)))
                ahead.append((file, blocks))
            if not ahead:
                return
            yield ahead.popleft()
    finally:
        if pool:
            pool.terminate()


def _when_fetched(fetching: AsyncResult[list[Block]]) -> Iterator[Block]:
    yield from fetching.get()
