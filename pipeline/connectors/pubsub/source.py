"""Reading Pub/Sub as blocks of messages: by a source of our own, or by the service.

Every runner can use :mod:`~pipeline.connectors.pubsub.poll`. On Dataflow the service itself can
read and acknowledge; Beam's ``ReadFromPubSub`` stands for it in the graph.

Blocks have as their timestamp the earliest publish time in them; those of all messages are in
`origins`. Delivery is at least once, as Pub/Sub's is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.batch.block import Block, Origin
from pipeline.connectors.pubsub import own_subscription
from pipeline.connectors.pubsub.poll import Poll
from pipeline.connectors.pubsub.reader import always
from pipeline.runner.beam_types import DoFn, PTransform
from pipeline.runner.stopping import stopped as process_stopped


class PollMessages(PTransform):
    """Start of the pipeline -> PCollection of :class:`Block`, in the global window.

    A block holds what has arrived: under load, blocks fill up to `block_rows` by themselves.

    Args:
      subscription: ``projects/P/subscriptions/S``; or
      topic: ``projects/P/topics/T``, read from the start of the job on, through a subscription of
        the job's own.
      block_rows: most messages in a block.
      patience_secs: how long a message may wait for others to fill its block.
      stopped: whether the job was asked to stop. Pickled with the pipeline.
      confirms_late: see `runner.confirmations`.
      settled: whether all that messages caused so far is done: only then they are acknowledged.
        Pickled with the pipeline.
      required: whether a subscription that gives nothing any more fails the job. If not, that is
        said again and again, and it is tried again.

    Raises:
      ValueError: not exactly one of subscription and topic is given.
    """

    def __init__(
        self,
        *,
        subscription: str | None = None,
        topic: str | None = None,
        block_rows: int,
        patience_secs: float = 0.0,
        stopped: Callable[[], bool] = process_stopped,
        confirms_late: bool = False,
        settled: Callable[[], bool] = always,
        required: bool = True,
    ) -> None:
        super().__init__()
        _check_one(subscription, topic)
        self._subscription = subscription or own_subscription.new_name(str(topic))
        self._poll = Poll(
            block_rows, topic, patience_secs, stopped, confirms_late, settled, required
        )

    def expand(self, begin: Any) -> Any:
        """Builds the read."""
        return (
            begin
            | "Subscription" >> beam.Create([self._subscription])
            | "Poll" >> beam.ParDo(self._poll)
        )


class ReadByService(PTransform):
    """Start of the pipeline -> PCollection of :class:`Block`, in the global window.

    A block is what one bundle holds, and nothing waits.

    Args:
      subscription, topic, block_rows: see :class:`PollMessages`.
      id_label: attribute that identifies a message; "" where none does. The service hands on one of
        those that it gets within 10 minutes with the same value.
      timestamp_attribute: attribute with a message's event time; "" for its publish time.

    Raises:
      ValueError: not exactly one of subscription and topic is given.
    """

    def __init__(
        self,
        *,
        subscription: str | None = None,
        topic: str | None = None,
        block_rows: int,
        id_label: str = "",
        timestamp_attribute: str = "",
    ) -> None:
        super().__init__()
        _check_one(subscription, topic)
        self._subscription = subscription
        self._topic = topic
        self._block_rows = block_rows
        self._id_label = id_label or None
        self._timestamp_attribute = timestamp_attribute or None

    def expand(self, begin: Any) -> Any:
        """Builds the read."""
        source = str(self._subscription or self._topic)
        return (
            begin
            | "ReadFromPubSub"
            >> beam.io.ReadFromPubSub(
                subscription=self._subscription,
                topic=self._topic,
                id_label=self._id_label,
                with_attributes=True,
                timestamp_attribute=self._timestamp_attribute,
            )
            | "Block" >> beam.ParDo(BlockBundle(source, self._block_rows))
        )


def _check_one(subscription: str | None, topic: str | None) -> None:
    if (subscription is None) == (topic is None):
        raise ValueError("exactly one of subscription and topic is needed")


@beam.typehints.with_output_types(Block)
class BlockBundle(DoFn):
    """Beam's Pub/Sub messages -> blocks, none across bundles: no state, no shuffle, no waiting.

    ``beam.BatchElements`` would do as much, but it moves every batch to the end of time and logs a
    line for every bundle.

    Args:
      source: what blocks name as their source.
      block_rows: most messages in a block.
    """

    def __init__(self, source: str, block_rows: int) -> None:
        self._source = source
        self._block_rows = block_rows

    def start_bundle(self) -> None:
        """Begins empty."""
        self._messages: list[tuple[Any, Timestamp]] = []

    def process(
        self, message: Any, timestamp: Timestamp = DoFn.TimestampParam
    ) -> Iterator[TimestampedValue]:
        """Collects one message; emits a block when it is full.

        Args:
          message: Beam's.
          timestamp: its event time: that of an attribute, or when it was published.
        """
        self._messages.append((message, timestamp))
        if len(self._messages) >= self._block_rows:
            yield TimestampedValue(*self._take())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Emits the rest."""
        if self._messages:
            block, timestamp = self._take()
            yield WindowedValue(block, timestamp, (GlobalWindow(),))

    def _take(self) -> tuple[Block, Timestamp]:
        messages, self._messages = self._messages, []
        origins = tuple(
            Origin(
                event_time_us=timestamp.micros,
                attributes=message.attributes or {},
                ordering_key=message.ordering_key,
            )
            for message, timestamp in messages
        )
        block = Block(tuple(message.data for message, _ in messages), self._source, origins=origins)
        return block, Timestamp(micros=min(origin.event_time_us for origin in origins))
