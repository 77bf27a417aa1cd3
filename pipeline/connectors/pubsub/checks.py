"""What is checked of subscriptions and topics before a job starts. Nothing is read or written.

Reading and writing need no permission to look: so where looking is refused, the service is asked
whether the permission that counts is granted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, MethodNotImplemented, PermissionDenied
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1.types import Encoding

from pipeline.connectors.pubsub import clients as pubsub_clients
from pipeline.connectors.pubsub.errors import (
    EDITOR_ROLE,
    PUBLISHER_ROLE,
    SUBSCRIBER_ROLE,
    explain,
    no_permission,
)
from pipeline.errors import PathError

WAIT_SECS = 5.0
_DELETED_TOPIC = "_deleted-topic_"  # what such a subscription has as its topic
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_NAME = r"[A-Za-z][A-Za-z0-9_.~+%-]{2,254}"


def check_subscription(subscription: str) -> str:
    """Makes sure that a subscription can be pulled from.

    Returns:
      The topic whose messages come, all of them; empty where a filter or a transform may leave some
      out, or nobody may look.

    Raises:
      PathError: its name is malformed, it does not exist, is not for pulling, is detached from its
        topic or its topic was deleted, it may not be read, or the service does not answer within
        seconds.
    """
    _check_name(subscription, "subscription")
    client = _client(pubsub_clients.new_subscriber, subscription, SUBSCRIBER_ROLE)
    with client:
        found = _look(
            client,
            partial(client.get_subscription, subscription=subscription),
            subscription,
            "pubsub.subscriptions.consume",
            SUBSCRIBER_ROLE,
        )
    if found is None:
        return ""
    if problem := _not_for_pulling(found):
        raise PathError(f"subscription '{subscription}' {problem}, expected a pull subscription")
    if has_lost_topic(found):
        raise PathError(
            f"subscription '{subscription}' gets nothing any more, since its topic was deleted or "
            "it was detached from it; expected one of a topic that exists. What it still holds is "
            "shown by `gcloud pubsub subscriptions pull`"
        )
    return "" if found.filter or found.message_transforms else str(found.topic)


def _not_for_pulling(found: Any) -> str:
    """Why nobody can pull from a subscription; empty if one can."""
    if found.push_config.push_endpoint:
        return f"pushes to {found.push_config.push_endpoint}"
    if found.bigquery_config.table:
        return f"writes to the BigQuery table {found.bigquery_config.table}"
    if found.cloud_storage_config.bucket:
        return f"writes to the bucket {found.cloud_storage_config.bucket}"
    return ""


def has_lost_topic(subscription: Any) -> bool:
    """Whether a subscription, as the service describes it, never gets a message again.

    None is attached to a topic again, not even to one that is made anew under the same name.
    """
    return bool(subscription.detached) or subscription.topic == _DELETED_TOPIC


def check_topic(topic: str) -> None:
    """Makes sure that JSON can be published to a topic.

    Raises:
      PathError: its name is malformed, it does not exist, may not be written, takes binary messages
        only, or the service does not answer within seconds.
    """
    found = _check_topic(topic, "pubsub.topics.publish", PUBLISHER_ROLE)
    if found is not None and found.schema_settings.encoding == Encoding.BINARY:
        raise PathError(
            f"topic '{topic}' takes binary messages of the schema {found.schema_settings.schema}, "
            "expected a topic that takes JSON: one without a schema, or whose schema has the "
            "encoding JSON"
        )


def check_input_topic(topic: str) -> None:
    """Makes sure that a topic can be subscribed to; reading one takes a subscription of its own.

    Raises:
      PathError: its name is malformed, it does not exist, may not be subscribed to, or the service
        does not answer within seconds.
    """
    _check_topic(topic, "pubsub.topics.attachSubscription", EDITOR_ROLE)


def _check_topic(topic: str, permission: str, role: str) -> Any | None:
    """The topic; None if it may be used, but not looked at."""
    _check_name(topic, "topic")
    client = _client(pubsub_clients.new_publisher, topic, role)
    try:
        get = partial(client.get_topic, topic=topic)
        return _look(client, get, topic, permission, role)
    finally:
        client.transport.close()


def _check_name(name: str, kind: str) -> None:
    if not re.fullmatch(f"projects/[^/]+/{kind}s/{_NAME}", name):
        raise PathError(
            f"'{name}' is not the name of a {kind}, expected projects/PROJECT/{kind}s/NAME"
        )


def _client(make: Callable[[], Any], name: str, role: str) -> Any:
    try:
        return make()
    except GoogleAuthError as error:
        raise PathError(explain(name, error, role)) from error


def _look(
    client: Any, get: Callable[..., Any], name: str, permission: str, role: str
) -> Any | None:
    """The subscription or topic; None if it may be used, but not looked at."""
    try:
        try:
            found = get(timeout=WAIT_SECS, retry=None)
        except PermissionDenied:
            found = None
        granted = _granted(client, name, permission)
    except GoogleAPICallError as error:
        raise PathError(explain(name, error, role)) from error
    if granted:
        return found
    raise PathError(no_permission(name, role))


def _granted(client: Any, name: str, permission: str) -> bool:
    try:
        answer = client.test_iam_permissions(
            request={"resource": name, "permissions": [permission]},
            timeout=WAIT_SECS,
            retry=None,
        )
    except MethodNotImplemented:
        return True  # the emulator, which knows no permissions
    return permission in answer.permissions
