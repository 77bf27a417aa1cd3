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

from pipeline.batch.block import Block, Origin, printable
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.connectors.files.watched.listing import FileVersion
from pipeline.connectors.files.whole_files import FileGroup, read_group
from pipeline.formats.format import Reading
from pipeline.formats.registry import format_of
from pipeline.spec.uris import is_local

_AT_ONCE = 8

# What is fetched ahead is held in memory, decompressed.
_SMALL_BYTES = 128 << 10


def blocks_of_file(file: FileVersion, reading: Reading) -> Iterator[Block]:
    """The records of one file, with their origins. Streams: holds about a block at a time.

    Raises:
      FileNotFoundError: the file is gone.
      Exception: as the storage has it, when it cannot be read.
    """
    origin = Origin(file.modified_ns // 1000, {"file": printable(file.path)})
    form = format_of(file.path, reading.format)
    if form.blocks is None:  # a record, even when it is empty
        for block in read_group(FileGroup(((file.path, file.size_bytes),))):
            yield replace(block, origins=(origin,) * len(block.payloads))
        return
    if file.size_bytes == 0:
        return
    whole = FileRange(file.path, 0, file.size_bytes, form.name)
    for block in read_range(whole, reading):
        yield replace(block, origins=(origin,) * len(block.payloads))


def blocks_of_files(
    files: Sequence[FileVersion], reading: Reading
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
                blocks = blocks_of_file(file, reading)
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
