"""What comes out of the stream's topics, held against what was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from streaming.account import Account
from streaming.feed import Record

from cloud.pubsub import PubSub
from cloud.settings import Settings

Line = dict[str, Any]


@dataclass
class Event:
    """A release event, and when it was published (seconds since 1970)."""

    line: Line
    at: float

    @property
    def outcome(self) -> str:
        """What happened, such as "accepted"."""
        return str(self.line["event"])

    @property
    def generation(self) -> int:
        """Of the release that it is about; 0 where it is about none."""
        return int((self.line.get("release") or {}).get("generation", 0))

    @property
    def reason(self) -> str:
        """Why, where it says so."""
        return str(self.line.get("reason", ""))


@dataclass
class StreamOutputs:
    """Everything that the stream has published.

    Attributes:
      pubsub: where it is.
      settings: names the subscriptions.
      account: what was sent against what came.
      events: release events, in order of arrival.
      served: when the first prediction of each generation was published.
      forests: generation -> version of the forest that its predictions name.
      latencies: seconds from sending to the prediction, of records sent by `send`, by the clocks
        of this machine and of Pub/Sub.
      unread: how many records were taken out of the stream's subscription, after its end.
    """

    pubsub: PubSub
    settings: Settings
    account: Account = field(default_factory=Account)
    events: list[Event] = field(default_factory=list)
    served: dict[int, float] = field(default_factory=dict)
    forests: dict[int, str] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    unread: int = 0
    _sent_at: dict[str, float] = field(default_factory=dict)

    def send(self, records: list[Record], now: float) -> None:
        """Publishes records to the stream's input.

        Args:
          records: what to send.
          now: seconds since 1970.
        """
        self.account.send(records)
        self._sent_at |= {each.record_id: now for each in records if each.record_id}
        self.pubsub.publish(self.settings.topic("records"), [each.payload for each in records])

    def look(self) -> None:
        """Takes what has come since the last look."""
        for message in self.pubsub.pull(self.settings.subscription("predictions")):
            self._prediction(json.loads(message.data), message.at)
        for message in self.pubsub.pull(self.settings.subscription("dead-letters")):
            self.account.dead_letter(json.loads(message.data))
        for message in self.pubsub.pull(self.settings.subscription("events")):
            self.events.append(Event(json.loads(message.data), message.at))

    def is_accounted(self) -> bool:
        """Whether all that was sent came out, or waited in the subscription after a drain."""
        self.look()
        if self.account.missing > self.unread:
            self.unread += len(self.pubsub.pull(self.settings.subscription("records")))
        return self.account.missing <= self.unread

    def first(self, outcome: str, after: int = 0, **release: int) -> Event | None:
        """The first event of that outcome among those after the first `after` ones.

        Args:
          outcome: such as "activated".
          after: how many events to pass over.
          release: ``generation=2`` for one of that release only.
        """
        for event in self.events[after:]:
            if event.outcome == outcome and event.generation == release.get(
                "generation", event.generation
            ):
                return event
        return None

    def _prediction(self, line: Line, at: float) -> None:
        self.account.prediction(line)
        release = line["release"]
        generation = int(release["generation"])
        self.served[generation] = min(at, self.served.get(generation, at))
        self.forests[generation] = str(release["models"]["forest"])
        if sent := self._sent_at.pop(str(line["id"]), None):
            self.latencies.append(at - sent)
