"""What goes wrong in Pub/Sub: what passes, and how the rest is said."""

from __future__ import annotations

import logging
import threading
import time

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from pipeline.connectors import pubsub_clients

SUBSCRIBER_ROLE = "roles/pubsub.subscriber"
PUBLISHER_ROLE = "roles/pubsub.publisher"
EDITOR_ROLE = "roles/pubsub.editor"


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


class Outage:
    """Says once when a service stops answering, and once when it answers again.

    Safe from several threads, which then speak as one.

    Args:
      what: begins both messages, e.g. ``"topic 'projects/p/topics/t'"``.
      logger: where they go, as warnings.
    """

    def __init__(self, what: str, logger: logging.Logger) -> None:
        self._what = what
        self._logger = logger
        self._lock = threading.Lock()
        self._since: float | None = None

    def begin(self, error: BaseException) -> None:
        """A call failed; said if it is the first since the last success."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
                self._logger.warning(
                    "%s: Pub/Sub does not answer (%s); trying until it does",
                    self._what,
                    brief(error),
                )

    def end(self) -> None:
        """A call succeeded; said if the one before failed."""
        if self._since is None:
            return
        with self._lock:
            if self._since is not None:
                self._logger.warning(
                    "%s: Pub/Sub answers again, after %.1f s",
                    self._what,
                    time.monotonic() - self._since,
                )
                self._since = None


def _quoted(name: str) -> str:
    return f"subscription '{name}'" if "/subscriptions/" in name else f"topic '{name}'"
