"""Messages of a stream put together before they are decoded, where an engine hands out few at once.

A bundle of a service often holds one message, and a call of a model costs about the same for one
row as for a hundred. What arrives waits in keyed state until there is enough of it, or until the
first of it has waited long enough. Keyed state is a shuffle: see docs/decisions/0016.

Beam's own `GroupIntoBatches` has no bound that bytes and time share, and forgets event times.
"""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
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
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipeline.batch import wire
from pipeline.batch.block import Block
from pipeline.runner.beam_types import DoFn, PTransform

MOST_BYTES = 8 << 20
_BLOCKS = BagStateSpec("blocks", BytesCoder())
_HELD = ReadModifyWriteStateSpec("held", BytesCoder())
_DUE = TimerSpec("due", TimeDomain.REAL_TIME)
_END = TimerSpec("end", TimeDomain.WATERMARK)
# What Beam reads off the arguments of a DoFn's methods.
_BLOCKS_PARAM, _HELD_PARAM = DoFn.StateParam(_BLOCKS), DoFn.StateParam(_HELD)
_DUE_PARAM, _END_PARAM = DoFn.TimerParam(_DUE), DoFn.TimerParam(_END)
_FORMAT = "collected/1"
_PROCESS = uuid.uuid4().hex
_numbers = itertools.count()


class CollectMessages(PTransform):
    """PCollection of blocks of messages -> PCollection of fewer, fuller ones.

    A block has the earliest of the event times of those that it was made of; what waits holds the
    watermark back. Each message keeps its own time, in `origins`. Blocks of something else, or
    with an error, do not wait.

    Args:
      most_rows: messages in a block.
      most_secs: how long the first message of a block waits for others.
      most_bytes: encoded bytes in a block; one that has more by itself passes through.
      clock: seconds since 1970. Pickled with the pipeline.
      places: in how many places a process lets blocks wait; 0 for one a processor.
    """

    def __init__(
        self,
        most_rows: int,
        most_secs: float,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.time,
        places: int = 0,
    ) -> None:
        super().__init__()
        self._key = _Key(places)
        self._hold = _Hold(most_rows, most_secs, most_bytes, clock)

    def expand(self, blocks: Any) -> Any:
        """See PTransform."""
        return (
            blocks
            | "Key" >> beam.ParDo(self._key).with_output_types(tuple[str, Block])
            | "Hold" >> beam.ParDo(self._hold).with_output_types(Block)
        )


class _Key(DoFn):
    """Names where a block waits: as many places in each process as threads can be at work."""

    def __init__(self, places: int) -> None:
        self._places = places

    def setup(self) -> None:
        """See DoFn."""
        places = self._places or os.cpu_count() or 1
        self._key = f"{_PROCESS}-{next(_numbers) % places}"

    def process(self, block: Block) -> Iterator[tuple[str, Block]]:
        """See DoFn."""
        yield self._key, block


class _Hold(DoFn):
    def __init__(
        self, most_rows: int, most_secs: float, most_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._most_rows, self._most_bytes = most_rows, most_bytes
        self._most_secs, self._clock = most_secs, clock

    def process(
        self,
        element: tuple[str, Block],
        timestamp: Any = DoFn.TimestampParam,
        window: Any = DoFn.WindowParam,
        blocks: Any = _BLOCKS_PARAM,
        held: Any = _HELD_PARAM,
        due: Any = _DUE_PARAM,
        end: Any = _END_PARAM,
    ) -> Iterator[Any]:
        """See DoFn."""
        block = element[1]
        form = b"" if block.error or block.origins is None else wire.dumps(block)
        rows, size = len(block.payloads), len(form)
        if not form or rows >= self._most_rows or size >= self._most_bytes:
            yield block
            return
        told = orjson.loads(held.read() or b"null")
        if told and (
            told["rows"] + rows > self._most_rows or told["bytes"] + size > self._most_bytes
        ):
            yield from _released(blocks, held)
            told = None
        begins = told is None
        if told is None:
            due_us = round((self._clock() + self._most_secs) * 1e6)
            told = {"format": _FORMAT, "rows": 0, "bytes": 0, "due_us": due_us}
        # Set, the timer holds the watermark at the time of this block. It is never cleared: where
        # it fires too soon, what is there leaves a little early.
        if begins or timestamp.micros < told["first_us"]:
            told["first_us"] = timestamp.micros
            due.set(Timestamp(micros=told["due_us"]))
        if begins:
            end.set(window.max_timestamp())  # a drain waits for no clock
        told["rows"] += rows
        told["bytes"] += size
        blocks.add(form)
        held.write(orjson.dumps(told))
        if told["rows"] >= self._most_rows:
            yield from _released(blocks, held)

    @on_timer(_DUE)  # type: ignore[untyped-decorator]
    def release_due(self, blocks: Any = _BLOCKS_PARAM, held: Any = _HELD_PARAM) -> Iterator[Any]:
        """What has waited long enough."""
        yield from _released(blocks, held)

    @on_timer(_END)  # type: ignore[untyped-decorator]
    def release_last(self, blocks: Any = _BLOCKS_PARAM, held: Any = _HELD_PARAM) -> Iterator[Any]:
        """What there is when the stream ends."""
        yield from _released(blocks, held)


def _released(blocks: Any, held: Any) -> Iterator[Any]:
    told = orjson.loads(held.read() or b"null")
    if told is None:
        return
    made: dict[tuple[str, str], list[Block]] = {}
    for form in blocks.read():
        block = wire.loads(form, Block)
        made.setdefault((block.source, block.format), []).append(block)
    blocks.clear()
    held.clear()
    for some in made.values():
        yield TimestampedValue(_joined(some), Timestamp(micros=told["first_us"]))


def _joined(blocks: list[Block]) -> Block:
    return replace(
        blocks[0],
        payloads=tuple(payload for block in blocks for payload in block.payloads),
        origins=tuple(origin for block in blocks for origin in block.origins or ()),
    )
