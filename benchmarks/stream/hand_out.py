"""A source whose bundles have as many messages as a benchmark says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipeline.batch.block import Block, Origin
from pipeline.runner.beam_types import DoFn
from pipeline.runner.endless import RESTRICTION, WATERMARK, end

ending = threading.Event()
"""Set: all sources of this process end."""


@beam.typehints.with_output_types(Block)
class HandOut(DoFn):
    """Bundles of one block, with the time at which it was made as event time.

    Args:
      payloads: of a block.
      pause_secs: between two bundles of a source.
    """

    def __init__(self, payloads: Sequence[bytes], pause_secs: float) -> None:
        self._payloads, self._pause_secs = tuple(payloads), pause_secs

    @DoFn.unbounded_per_element()
    def process(
        self, source: int, tracker: Any = RESTRICTION, _watermark: Any = WATERMARK
    ) -> Iterator[TimestampedValue]:
        """See DoFn."""
        if ending.is_set():
            end(tracker)
            return
        progress = tracker.current_restriction()
        if not tracker.try_claim(replace(progress, blocks=progress.blocks + 1)):
            return
        origin = Origin(time.time_ns() // 1000, {})
        origins = (origin,) * len(self._payloads)
        yield TimestampedValue(Block(self._payloads, "made up", origins=origins), Timestamp.now())
        tracker.defer_remainder(Duration(self._pause_secs))


@beam.typehints.with_output_types(Block)
class Backlog(DoFn):
    """So many blocks at once; `beam.Create` would compress them into the graph."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self._payloads = tuple(payloads)

    def process(self, bundles: int) -> Iterator[Block]:
        """See DoFn."""
        origins = (Origin(0, {}),) * len(self._payloads)
        for _ in range(bundles):
            yield Block(self._payloads, "made up", origins=origins)
