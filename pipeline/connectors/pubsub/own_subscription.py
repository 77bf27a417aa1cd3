"""The subscription that a job makes for itself when it is told to read a topic."""

from __future__ import annotations

import uuid
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound

from pipeline.connectors.pubsub.clients import new_subscriber
from pipeline.connectors.pubsub.errors import EDITOR_ROLE, explain
from pipeline.readable import logger

_LOGGER = logger(__name__)

_CALL_SECS = 5.0
_A_DAY_SECS = 24 * 3600  # the shortest that the service accepts


def new_name(topic: str) -> str:
    """A name in the topic's project that no subscription has."""
    project, _, name = topic.removeprefix("projects/").partition("/topics/")
    # A name has at most 255 characters.
    return f"projects/{project}/subscriptions/{name[:200]}-{uuid.uuid4().hex}"


def create(client: Any, subscription: str, topic: str) -> None:
    """Makes the subscription, if it is not there; without use, Pub/Sub deletes it after a day.

    Raises:
      GoogleAPICallError: it cannot be made.
    """
    try:
        client.create_subscription(
            request={
                "name": subscription,
                "topic": topic,
                "expiration_policy": {"ttl": {"seconds": _A_DAY_SECS}},
                "message_retention_duration": {"seconds": _A_DAY_SECS},
            },
            timeout=_CALL_SECS,
            retry=None,
        )
    except AlreadyExists:
        _LOGGER.debug("subscription '%s' is there already", subscription)


def delete(subscription: str) -> None:
    """Deletes the subscription; one that cannot be deleted is left to Pub/Sub, with a warning."""
    client = new_subscriber()
    try:
        client.delete_subscription(subscription=subscription, timeout=_CALL_SECS, retry=None)
    except NotFound:
        _LOGGER.debug("subscription '%s' is gone already", subscription)
    except GoogleAPICallError as error:
        why = explain(subscription, error, EDITOR_ROLE)
        _LOGGER.warning("%s; Pub/Sub deletes it after a day", why)
    finally:
        client.close()
