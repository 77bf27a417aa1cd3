"""The next blocks are read while one is computed.

A worker process of Dataflow reads one bundle at a time, and a bucket takes tenths of a second for
the 16 MiB that Beam fetches at once. So a thread reads on while a block is computed, until it holds
as many bytes: it waits for the storage, and decompresses and parses in libraries that let other
threads run meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator

from pipeline.batch.block import Block
from pipeline.batch.payloads import estimated_bytes

AHEAD_BYTES = 16 << 20
"""Reading pauses when it holds so much."""


def read_ahead(blocks: Generator[Block], ahead_bytes: int = AHEAD_BYTES) -> Iterator[Block]:
    """The same blocks, of which some are read before they are asked for.

    Args:
      blocks: closed when the last was read, when reading fails, and when nobody wants more.
      ahead_bytes: reading pauses when those that nobody has asked for yet have so many; one is read
        ahead whatever its size.

    Raises:
      BaseException: what reading raised, after the blocks before it.
    """
    ahead = _Ahead(ahead_bytes)
    thread = threading.Thread(target=ahead.read, args=(blocks,), name="read-ahead", daemon=True)
    thread.start()
    try:
        while (block := ahead.get()) is not None:
            yield block
    finally:
        ahead.stop()
        if threading.current_thread() is not thread:  # where the collector of garbage closes this
            thread.join()  # a read that has begun comes to its end


class _Ahead:
    """Blocks between the thread that reads them and the one that computes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._blocks: deque[tuple[Block, int]] = deque()
        self._held_bytes = 0
        self._wanted = True
        self._ended = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def read(self, blocks: Generator[Block]) -> None:
        """Reads until the end, a failure, or `stop`."""
        failure: BaseException | None = None
        try:
            for block in blocks:
                if not self._put(block):
                    break
            blocks.close()
        except BaseException as error:  # the other thread raises it
            failure = error
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify()

    def get(self) -> Block | None:
        """The next block; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended)
            if self._blocks:
                block, size = self._blocks.popleft()
                self._held_bytes -= size
                self._changed.notify()
                return block
        if self._failure is not None:
            raise self._failure
        return None

    def stop(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._wanted = False
            self._changed.notify()

    def _put(self, block: Block) -> bool:
        """Holds a block until there is room for another one; whether one is wanted."""
        size = estimated_bytes(block.payloads)
        with self._changed:
            self._blocks.append((block, size))
            self._held_bytes += size
            self._changed.notify()
            self._changed.wait_for(lambda: self._has_room() or not self._wanted)
            return self._wanted

    def _has_room(self) -> bool:
        return not self._blocks or self._held_bytes < self._most_bytes
