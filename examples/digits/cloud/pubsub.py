"""Pub/Sub: topics with a subscription each, messages in and out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from cloud.rest import ApiError, Json, Rest

HOST = "https://pubsub.googleapis.com"
_MOST = 500
"""Messages of one request."""


class Message(NamedTuple):
    """A message that came.

    Attributes:
      data: its content.
      at: when it was published, seconds since 1970.
    """

    data: bytes
    at: float


class PubSub:
    """Topics and subscriptions by their full names."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def create_topic(self, name: str) -> None:
        """Makes a topic."""
        self._create(name, {"labels": {"made-by": "first-launch"}})

    def create_subscription(self, name: str, topic: str) -> None:
        """Makes a subscription. It ends by itself after a day without use."""
        body = {
            "topic": topic,
            "ackDeadlineSeconds": 60,
            "expirationPolicy": {"ttl": "86400s"},
            # Shorter than the time to live: the default of 7 days is not.
            "messageRetentionDuration": "43200s",
        }
        self._create(name, body)

    def _create(self, name: str, body: Json) -> None:
        try:
            self._rest.call("PUT", f"{HOST}/v1/{name}", body)
        except ApiError as error:
            if error.status != 409:  # an answer got lost, and the call was made again
                raise

    def grant(self, name: str, account: str, *roles: str) -> None:
        """Gives a service account roles on a new topic or subscription."""
        member = f"serviceAccount:{account}"
        bindings = [{"role": role, "members": [member]} for role in roles]
        url = f"{HOST}/v1/{name}:setIamPolicy"
        self._rest.call("POST", url, {"policy": {"bindings": bindings}})

    def publish(self, topic: str, payloads: Sequence[bytes]) -> None:
        """Publishes a message for each payload."""
        for start in range(0, len(payloads), _MOST):
            messages = [
                # Pub/Sub takes a message without data, one of the broken ones, with an attribute.
                {"data": base64.b64encode(each).decode(), "attributes": {"sender": "first-launch"}}
                for each in payloads[start : start + _MOST]
            ]
            self._rest.call("POST", f"{HOST}/v1/{topic}:publish", {"messages": messages})

    def pull(self, subscription: str) -> list[Message]:
        """What is there now; it is acknowledged."""
        url = f"{HOST}/v1/{subscription}"
        found: list[Message] = []
        while True:
            body: Json = {"maxMessages": _MOST, "returnImmediately": True}
            received = self._rest.call("POST", f"{url}:pull", body).get("receivedMessages", [])
            if not received:
                return found
            found += [_message(each["message"]) for each in received]
            ids = [each["ackId"] for each in received]
            self._rest.call("POST", f"{url}:acknowledge", {"ackIds": ids})

    def remove(self, name: str) -> None:
        """Removes a topic or a subscription, if it is there."""
        try:
            self._rest.call("DELETE", f"{HOST}/v1/{name}")
        except ApiError as error:
            if error.status != 404:
                raise


def _message(told: Json) -> Message:
    at = datetime.fromisoformat(told["publishTime"]).timestamp()
    return Message(base64.b64decode(told.get("data", "")), at)
