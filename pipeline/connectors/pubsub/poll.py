"""The splittable DoFn that reads a subscription on every runner but Dataflow.

A runner schedules it again and again; each time it emits what its process's
:class:`~pipeline.connectors.pubsub.reader.Reader` has pulled meanwhile, and defers the rest.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipeline.batch.block import Block
from pipeline.connectors.pubsub.reader import Pulled, Reader, always
from pipeline.runner.activity import activity
from pipeline.runner.beam_types import DoFn
from pipeline.runner.endless import RESTRICTION, end
from pipeline.runner.finalization import answer_quietly
from pipeline.runner.sharing import Shared
from pipeline.runner.stopping import stopped as process_stopped

_MAX_BLOCK_BYTES = 8 << 20
_BUNDLE_SECS = 0.1
_IDLE_SECS = 0.05
_BUSY_SECS = 0.001
# Messages take a while from their publish time to here: without news the watermark stays behind.
_IDLE_LAG_SECS = 1

_readers: Shared[Reader] = Shared(Reader.close)


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(Block)
class Poll(DoFn):
    """Subscription -> blocks of its messages, until its job is asked to stop.

    * Messages are acknowledged after the bundle that emitted them is committed, and given back when
      it fails. That covers what is fused with this step; nothing else should follow it.
    * A service that cannot be reached is tried until it can. That is said once when it begins and
      once when it ends.
    * At the end, what was pulled is emitted, and what was not is left to Pub/Sub.

    Args:
      block_rows: most messages in a block.
      topic: if given, the subscription is made at the start, to this topic, and deleted at the end.
      patience_secs: how long a message may wait here for others to fill its block.
      stopped: whether the job was asked to stop. Pickled with the pipeline.
      settled: see `Reader`. Asked in the process of the source; pickled with the pipeline.
      required: see `Reader`.
      confirms_late: see `runner.confirmations`, for acknowledgements. A message whose
        acknowledgement is still waited for at the end of the job is delivered again.

    Raises:
      ServiceError: the subscription or its topic is gone, or it may not be read; where it is
        required.
    """

    def __init__(
        self,
        block_rows: int,
        topic: str | None = None,
        patience_secs: float = 0.0,
        stopped: Callable[[], bool] = process_stopped,
        confirms_late: bool = False,
        settled: Callable[[], bool] = always,
        required: bool = True,
    ) -> None:
        self._block_rows = block_rows
        self._topic = topic
        self._patience_secs = patience_secs
        self._stopped = stopped
        self._confirms_late = confirms_late
        self._settled = settled
        self._required = required
        self._key = uuid.uuid4().hex  # the same in all copies of this step

    def setup(self) -> None:
        """Begins without a reader: its subscription is not known yet."""
        self._reader: Reader | None = None
        self._uncommitted: set[str] = set()
        self._seen = activity.count
        if self._confirms_late:
            answer_quietly()

    @DoFn.unbounded_per_element()
    def process(
        self,
        subscription: str,
        # Beam finds the three in this order only.
        finalizer: Any = DoFn.BundleFinalizerParam,
        tracker: Any = RESTRICTION,
        watermark: Any = DoFn.WatermarkEstimatorParam(  # noqa: B008  # Beam's way
            ManualWatermarkEstimator.default_provider()  # noqa: B008
        ),
    ) -> Iterator[TimestampedValue]:
        """Emits what has arrived, for a moment at most."""
        reader = self._open(subscription)
        reader.settle()
        with reader.in_use():
            reader.confirmations.begin(finalizer)
            progress = tracker.current_restriction()
            emitted: list[str] = []
            until = time.monotonic() + _BUNDLE_SECS
            while messages := reader.take(self._block_rows, _MAX_BLOCK_BYTES, self._patience_secs):
                ids = [message.message_id for message in messages]
                progress = replace(progress, blocks=progress.blocks + 1)
                if not tracker.try_claim(progress):
                    reader.give_back(ids)
                    return
                if not emitted:
                    reader.confirmations.add(
                        finalizer,
                        confirm=partial(reader.acknowledge, emitted),
                        lost=partial(reader.give_back, emitted),
                    )
                    finalizer.register(partial(self._uncommitted.difference_update, emitted))
                emitted += ids
                self._uncommitted.update(ids)
                yield _block(messages, subscription)
                if time.monotonic() >= until:
                    break
        if self._stopped():
            reader.stop_pulling()
        if reader.is_exhausted and reader.confirmations.may_end():
            end(tracker)
            return
        _advance(watermark, reader.oldest_us())
        tracker.defer_remainder(Duration(self._rest(bool(emitted))))

    def teardown(self) -> None:
        """Gives back what this instance emitted in a bundle that failed."""
        if self._reader is not None:
            self._reader.give_back(self._uncommitted)
            self._reader = None
            _readers.close(self._key)

    def _open(self, subscription: str) -> Reader:
        if self._reader is None:
            make = partial(
                Reader,
                subscription,
                self._topic,
                self._confirms_late,
                self._settled,
                self._required,
            )
            self._reader = _readers.open(self._key, make)
        return self._reader

    def _rest(self, busy: bool) -> float:
        """Waits for news, if there was none; returns for how long to be deferred."""
        if busy:
            activity.note()
            return _BUSY_SECS
        seen, self._seen = self._seen, activity.rest(self._seen, _IDLE_SECS)
        return _IDLE_SECS if seen == self._seen else _BUSY_SECS


def _block(messages: list[Pulled], subscription: str) -> TimestampedValue:
    origins = tuple(message.origin for message in messages)
    payloads = tuple(message.payload for message in messages)
    earliest = min(origin.event_time_us for origin in origins)
    return TimestampedValue(
        Block(payloads, subscription, origins=origins), Timestamp(micros=earliest)
    )


def _advance(watermark: Any, oldest_us: int | None) -> None:
    reached = Timestamp.now() - _IDLE_LAG_SECS
    if oldest_us is not None:
        reached = min(reached, Timestamp(micros=oldest_us))
    current = watermark.current_watermark()
    if current is None or reached > current:
        watermark.set_watermark(reached)
