"""Chunks of lines put together until there are enough of them for a file, on any runner.

Beam's `GroupIntoBatches` has no bound in bytes: what a runner keeps for a file, and what a worker
holds when it writes it, would be as large as 256 batches of predictions are.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)

from pipeline.runner.beam_types import DoFn, PTransform

MOST_CHUNKS = 256
MOST_BYTES = 64 << 20
_CHUNKS = BagStateSpec("chunks", BytesCoder())
_HELD = ReadModifyWriteStateSpec("held", BytesCoder())
_DUE = TimerSpec("due", TimeDomain.REAL_TIME)
_END = TimerSpec("end", TimeDomain.WATERMARK)
# What Beam reads off the arguments of a DoFn's methods.
_CHUNKS_PARAM, _HELD_PARAM = DoFn.StateParam(_CHUNKS), DoFn.StateParam(_HELD)
_DUE_PARAM, _END_PARAM = DoFn.TimerParam(_DUE), DoFn.TimerParam(_END)
_FORMAT = "grouped/1"
_PROCESS = uuid.uuid4().hex


class GroupChunks(PTransform):
    """PCollection of chunks -> PCollection of lists of them.

    As in Beam's `GroupIntoBatches.WithShardedKey`, each thread that hands out chunks has a group.

    Args:
      most_secs: how long the first chunk of a group waits for others, in processing time: nothing
        is ever too late.
      most_bytes: in a group; a chunk that has more by itself is a group by itself.
      most_chunks: in a group.
      clock: seconds since 1970. Pickled with the pipeline.
    """

    def __init__(
        self,
        most_secs: float,
        most_bytes: int = MOST_BYTES,
        most_chunks: int = MOST_CHUNKS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._hold = _Hold(most_secs, most_bytes, most_chunks, clock)

    def expand(self, chunks: Any) -> Any:
        """Builds the steps."""
        return (
            chunks
            | "Key" >> beam.Map(_with_key).with_output_types(tuple[str, bytes])
            | "Hold" >> beam.ParDo(self._hold).with_output_types(Iterable[bytes])
        )


def _with_key(chunk: bytes) -> tuple[str, bytes]:
    return f"{_PROCESS}-{threading.get_ident()}", chunk


class _Hold(DoFn):
    def __init__(
        self, most_secs: float, most_bytes: int, most_chunks: int, clock: Callable[[], float]
    ) -> None:
        self._most_secs, self._clock = most_secs, clock
        self._most_bytes, self._most_chunks = most_bytes, most_chunks

    def process(
        self,
        element: tuple[str, bytes],
        window: Any = DoFn.WindowParam,
        chunks: Any = _CHUNKS_PARAM,
        held: Any = _HELD_PARAM,
        due: Any = _DUE_PARAM,
        end: Any = _END_PARAM,
    ) -> Iterator[list[bytes]]:
        """See DoFn."""
        chunk = element[1]
        told = orjson.loads(held.read() or b"null")
        if told and told["bytes"] + len(chunk) > self._most_bytes:
            yield from _released(chunks, held)
            told = None
        if told is None:
            told = {"format": _FORMAT, "chunks": 0, "bytes": 0}
            # Never cleared: where it fires too soon, a group is a little smaller.
            due.set(self._clock() + self._most_secs)
            end.set(window.max_timestamp())  # a drain waits for no clock
        told["chunks"] += 1
        told["bytes"] += len(chunk)
        chunks.add(chunk)
        held.write(orjson.dumps(told))
        if told["chunks"] >= self._most_chunks or told["bytes"] >= self._most_bytes:
            yield from _released(chunks, held)

    @on_timer(_DUE)  # type: ignore[untyped-decorator]
    def release_due(
        self, chunks: Any = _CHUNKS_PARAM, held: Any = _HELD_PARAM
    ) -> Iterator[list[bytes]]:
        """What has waited long enough."""
        yield from _released(chunks, held)

    @on_timer(_END)  # type: ignore[untyped-decorator]
    def release_last(
        self, chunks: Any = _CHUNKS_PARAM, held: Any = _HELD_PARAM
    ) -> Iterator[list[bytes]]:
        """What there is when the stream ends."""
        yield from _released(chunks, held)


def _released(chunks: Any, held: Any) -> Iterator[list[bytes]]:
    if found := list(chunks.read()):
        yield found
    chunks.clear()
    held.clear()
