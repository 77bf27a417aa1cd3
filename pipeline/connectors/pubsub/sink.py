"""Writing messages to Pub/Sub: by a client of our own, or by the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage

from pipeline.batch.message import Message
from pipeline.connectors.pubsub.publisher import publisher
from pipeline.runner.beam_types import DoFn, PTransform

_BUFFERED = 10_000

Messages = tuple[Message, ...]


class PublishMessages(PTransform):
    """PCollection of tuples of :class:`Message` -> published, at least once.

    A bundle is not committed before Pub/Sub has its messages: a service that cannot be reached
    holds it up, and then fails it. Messages of one ordering key are published in the order in which
    they come within a bundle.

    Args:
      topic: ``projects/P/topics/T``.
      give_up_secs: for how long a service that cannot be reached is tried.

    Raises:
      ServiceError: in a running job, when the topic is gone, may not be written or refuses a
        message.
    """

    def __init__(self, topic: str, *, give_up_secs: float = 300.0) -> None:
        super().__init__()
        self._publish = _Publish(topic, give_up_secs)

    def expand(self, messages: Any) -> Any:
        """Builds the write."""
        return messages | "Publish" >> beam.ParDo(self._publish)


class PublishByService(PTransform):
    """PCollection of tuples of :class:`Message` -> published by Dataflow, at least once.

    It does not promise to keep ordering keys: Beam 2.77 offers them there through a Java expansion
    only. :class:`PublishMessages` works on Dataflow, too, and keeps them.

    Args:
      topic: ``projects/P/topics/T``.
    """

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def expand(self, messages: Any) -> Any:
        """Builds the write."""
        return (
            messages
            | "Message" >> beam.FlatMap(_to_beam).with_output_types(PubsubMessage)
            | "WriteToPubSub" >> beam.io.WriteToPubSub(self._topic, with_attributes=True)
        )


class _Publish(DoFn):
    def __init__(self, topic: str, give_up_secs: float) -> None:
        self._topic = topic
        self._give_up_secs = give_up_secs

    def start_bundle(self) -> None:
        self._messages: list[Message] = []

    def process(self, messages: Messages) -> None:
        self._messages += messages
        if len(self._messages) >= _BUFFERED:
            self._publish()

    def finish_bundle(self) -> None:
        if self._messages:
            self._publish()

    def _publish(self) -> None:
        messages, self._messages = self._messages, []
        publisher(self._topic).publish(messages, self._give_up_secs)


def _to_beam(messages: Messages) -> Iterator[PubsubMessage]:
    for message in messages:
        yield PubsubMessage(
            message.data, dict(message.attributes), ordering_key=message.ordering_key
        )
