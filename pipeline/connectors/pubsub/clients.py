"""Clients of Pub/Sub: the service, or the emulator that ``PUBSUB_EMULATOR_HOST`` names."""

from __future__ import annotations

import os
from typing import Any

import grpc
from google.cloud.pubsub_v1 import (
    PublisherClient,
    SubscriberClient,
)
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

_OPTIONS = (
    # One pull may bring hundreds of messages of up to 10 MB; gRPC's own limit is 4 MB in all.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    # By itself, gRPC waits up to two minutes before it looks for a lost service again.
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def endpoint() -> str:
    """Where clients made now connect to."""
    return os.environ.get("PUBSUB_EMULATOR_HOST") or "pubsub.googleapis.com"


def new_subscriber() -> SubscriberClient:
    """A client with a connection of its own.

    Raises:
      google.auth.exceptions.DefaultCredentialsError: there are no credentials.
    """
    return SubscriberClient(transport=_transport(SubscriberGrpcTransport))


def new_publisher() -> PublisherClient:
    """A client with a connection of its own.

    Raises:
      google.auth.exceptions.DefaultCredentialsError: there are no credentials.
    """
    return PublisherClient(transport=_transport(PublisherGrpcTransport))


def _transport(kind: Any) -> Any:
    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        return kind(host=emulator, channel=grpc.insecure_channel(emulator, _OPTIONS))

    def channel(host: str, **settings: Any) -> grpc.Channel:
        return kind.create_channel(host, **{**settings, "options": _OPTIONS})

    return kind(channel=channel)
