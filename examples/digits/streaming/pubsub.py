"""Through Pub/Sub: messages in, messages and files out, models named in refresh messages."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from streaming.channel import Arrival, Kind, Outputs
from streaming.emulator import PROJECT
from streaming.feed import Record

_OUT: dict[Kind, str] = {
    "prediction": "predictions",
    "dead letter": "dead-letters",
    "release event": "release-events",
}
"""What comes out -> the topic it comes out of."""
_IN = ("records", "refresh")


class PubSubChannel:
    """A :class:`~streaming.channel.Channel` of messages, through the emulator that runs.

    Args:
      folder: of the run.
      stack: closes the subscriptions.
    """

    feed_secs = 0.1

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._outputs = Outputs(folder)
        self._publisher = PublisherClient()
        self._subscriber = stack.enter_context(SubscriberClient())
        self._arrived: queue.Queue[Arrival] = queue.Queue()
        for name in (*_IN, *_OUT.values()):
            self._publisher.create_topic(name=_topic(name))
            self._subscriber.create_subscription(name=_subscription(name), topic=_topic(name))
        for kind, name in _OUT.items():
            listening = self._subscriber.subscribe(_subscription(name), partial(self._take, kind))
            stack.callback(listening.result)
            stack.callback(listening.cancel)

    def arguments(self) -> Sequence[str]:
        """See Channel."""
        return [
            f"--input_subscription={_subscription('records')}",
            f"--output_topic={_topic('predictions')}",
            f"--dead_letter_topic={_topic('dead-letters')}",
            f"--release_events_topic={_topic('release-events')}",
            *self._outputs.arguments(),
            "--refresh_mode=event",
            f"--refresh_subscription={_subscription('refresh')}",
        ]

    def send(self, records: Sequence[Record]) -> None:
        """See Channel. Each record is a message."""
        for record in records:
            # Pub/Sub takes a message without data, one of the broken ones, only with an attribute.
            self._publisher.publish(_topic("records"), record.payload, sender="demo")

    def arrivals(self) -> Iterator[Arrival]:
        """See Channel."""
        while True:
            try:
                yield self._arrived.get_nowait()
            except queue.Empty:
                return

    def announce(self, version: Path) -> str:
        """See Channel."""
        return self._ask({"models": {"forest": str(version)}})

    def roll_back(self) -> str:
        """See Channel."""
        return self._ask({"rollback": True})

    def _ask(self, request: dict[str, Any]) -> str:
        text = json.dumps(request)
        self._publisher.publish(_topic("refresh"), text.encode()).result(timeout=10)
        return f"published {text}"

    def _take(self, kind: Kind, message: Any) -> None:
        # The time at which it was published, not that at which this client came round to it.
        self._arrived.put(Arrival(kind, message.data, message.publish_time.timestamp()))
        message.ack()


def _topic(name: str) -> str:
    return f"projects/{PROJECT}/topics/{name}"


def _subscription(name: str) -> str:
    return f"projects/{PROJECT}/subscriptions/{name}-reader"
