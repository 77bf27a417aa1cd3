"""What goes wrong in Pub/Sub: what passes, and how the rest is said."""

from __future__ import annotations

import logging

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from pipeline.connectors.pubsub import clients as pubsub_clients
from pipeline.runner.outage import Outage

SUBSCRIBER_ROLE = "roles/pubsub.subscriber"
PUBLISHER_ROLE = "roles/pubsub.publisher"
EDITOR_ROLE = "roles/pubsub.editor"

_PAUSES_SECS = (0.1, 0.2, 0.5, 1.0)


def passes(error: BaseException) -> bool:
    """Whether the same call may work later: the service is not reached, busy or failing."""
    if isinstance(error, exceptions.MethodNotImplemented):
        return False
    return isinstance(
        error,
        exceptions.ServerError  # UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN
        | exceptions.Aborted
        | exceptions.Cancelled
        | exceptions.TooManyRequests,
    )


def pause_secs(failures: int) -> float:
    """How long to wait before the next attempt, after so many in a row failed before this one."""
    return _PAUSES_SECS[min(failures, len(_PAUSES_SECS) - 1)]


def explain(name: str, error: BaseException, role: str) -> str:
    """Why a subscription or topic cannot be used, in the words of somebody who can change it.

    Args:
      name: ``projects/P/subscriptions/S`` or ``projects/P/topics/T``.
      error: as the client raised it.
      role: what the account that runs the job needs.
    """
    what = _quoted(name)
    if isinstance(error, exceptions.NotFound):
        return f"{what} does not exist"
    if isinstance(error, exceptions.PermissionDenied):
        return no_permission(name, role)
    if isinstance(error, exceptions.Unauthenticated | GoogleAuthError):
        return f"{what}: no valid Google Cloud credentials ({brief(error)})"
    if passes(error):
        return f"{what}: Pub/Sub cannot be reached at {pubsub_clients.endpoint()} ({brief(error)})"
    return f"{what}: {brief(error)}"


def no_permission(name: str, role: str) -> str:
    """What is to be done about a subscription or topic that may not be used."""
    return f"no permission for {_quoted(name)}: the account that runs the job needs the role {role}"


def brief(error: BaseException) -> str:
    """The error in one line."""
    text = error.message if isinstance(error, exceptions.GoogleAPICallError) else str(error)
    lines = str(text).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no details'}"


def outage(name: str, logger: logging.Logger) -> Outage:
    """The outages of Pub/Sub, as those who use a subscription or topic see them."""
    return Outage(
        logger,
        _quoted(name),
        begins="%(what)s: Pub/Sub does not answer (%(why)s); trying until it does",
        ends="%(what)s: Pub/Sub answers again, after %(secs).1f s",
    )


def _quoted(name: str) -> str:
    return f"subscription '{name}'" if "/subscriptions/" in name else f"topic '{name}'"
