"""Leases: what this process has pulled from a subscription and not yet settled with Pub/Sub.

A message pulled is leased: Pub/Sub delivers it again when its lease runs out before it is
acknowledged. A thread of its own prolongs the leases of what is held, however long a bundle takes,
and sends acknowledgements and returns, so that no bundle waits for the service. What cannot be sent
because the service is not reached is sent when it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from google.api_core.exceptions import GoogleAPICallError

from pipeline.connectors.pubsub.clients import new_subscriber
from pipeline.connectors.pubsub.errors import brief, passes
from pipeline.readable import logger
from pipeline.runner.job_thread import JobThread

_LOGGER = logger(__name__)

FIRST_LEASE_SECS = 10.0  # the shortest that a subscription can have; asking needs one more role
# Short, since a killed process's messages come again only when their leases have run out.
_LEASE_SECS = 20
PROLONG_BEFORE_SECS = 6.0
_LOOK_SECS = 1.0
_GATHER_SECS = 0.02  # the acknowledgements of a few bundles go in one request
_RETRY_SECS = 0.5
_CALL_SECS = 5.0
_CLOSE_SECS = 5.0
_REMEMBER_SECS = 600.0
_REQUEST_IDS = 1000  # a request may have 512 KiB, an id has some 200 bytes


@dataclass(slots=True)
class _Lease:
    ack_id: str
    expires_at: float


class Leases:
    """The leases of one subscription. Safe from any thread; no method waits, except `close`.

    A message that is delivered again while it is held, or while its acknowledgement is on its way,
    is not new: its lease is renewed, and its acknowledgement sent with the new lease.

    Args:
      subscription: ``projects/P/subscriptions/S``.
      is_left: whether nobody works on what is held, so that no lease is prolonged.
    """

    def __init__(self, subscription: str, is_left: Callable[[], bool] = bool) -> None:
        self._subscription = subscription
        self._is_left = is_left
        self._client = new_subscriber()
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}  # by message id, as are all of these
        self._done: dict[str, None] = {}
        self._returned: dict[str, None] = {}
        # Acknowledged after the lease ran out, which Pub/Sub may ignore. Value: until when to know.
        self._late: dict[str, float] = {}
        self._due = threading.Event()
        self._closing = threading.Event()
        self._looked_at = 0.0
        self._thread = JobThread("pubsub-leases", self._keep)

    def take_up(self, delivered: Iterable[tuple[str, str]]) -> set[str]:
        """Takes note of a delivery.

        Args:
          delivered: message id and ack id of each message.

        Returns:
          The ids of the messages that are new.

        Raises:
          ThreadEndedError: no lease is prolonged any more, and nothing is acknowledged.
        """
        self._thread.check()
        expires_at = time.monotonic() + FIRST_LEASE_SECS
        new = set()
        with self._lock:
            for message_id, ack_id in delivered:
                if message_id in self._late:
                    self._done[message_id] = None
                elif message_id not in self._leases:
                    new.add(message_id)
                self._leases[message_id] = _Lease(ack_id, expires_at)
        if self._done:
            self._due.set()
        return new

    def acknowledge(self, message_ids: Iterable[str]) -> None:
        """These are done with, never to come again: also those that are to be given back."""
        with self._lock:
            for key in message_ids:
                if key in self._leases:
                    self._done[key] = None
                    self._returned.pop(key, None)
        self._due.set()

    def give_back(self, message_ids: Iterable[str]) -> None:
        """These are to be delivered again, at once, to whoever asks; not what is acknowledged."""
        with self._lock:
            for key in message_ids:
                if key in self._leases and key not in self._done:
                    self._returned[key] = None
        self._due.set()

    def any_held(self) -> bool:
        """Whether a message is held, or its acknowledgement or return is on its way."""
        with self._lock:
            return bool(self._leases)

    def close(self) -> None:
        """Sends what is due, and gives back what is held; some seconds at most."""
        self._closing.set()
        self._due.set()
        self._thread.join()
        with self._lock:
            self._returned.update((key, None) for key in self._leases if key not in self._done)
        give_up_at = time.monotonic() + _CLOSE_SECS
        while not self._try_to_settle() and time.monotonic() < give_up_at:
            time.sleep(_RETRY_SECS)
        if self._done:
            _LOGGER.warning(
                "subscription '%s': %d acknowledgements could not be sent; these messages will be "
                "delivered again",
                self._subscription,
                len(self._done),
            )
        self._client.close()

    def _keep(self) -> None:
        while not self._closing.is_set():
            self._due.wait(_LOOK_SECS)
            self._due.clear()
            if self._try_to_settle():
                self._closing.wait(_GATHER_SECS)
            else:
                self._closing.wait(_RETRY_SECS)
                self._due.set()

    def _try_to_settle(self) -> bool:
        try:
            while chunk := self._first(self._done):
                self._request(self._client.acknowledge, chunk)
                self._drop(chunk, self._done)
            while chunk := self._first(self._returned):
                self._request(self._client.modify_ack_deadline, chunk, ack_deadline_seconds=0)
                self._drop(chunk, self._returned)
            self._prolong()
        except GoogleAPICallError as error:
            # Not said here: pulling fails too, and says so once.
            _LOGGER.debug("subscription '%s': %s", self._subscription, brief(error))
            return False
        return True

    def _first(self, due: dict[str, None]) -> dict[str, str]:
        with self._lock:
            return {key: self._leases[key].ack_id for key in islice(due, _REQUEST_IDS)}

    def _request(self, call: Callable[..., Any], chunk: dict[str, str], **settings: Any) -> None:
        """Raises what passes; what does not, concerns leases that are lost anyhow."""
        try:
            call(
                request={
                    "subscription": self._subscription,
                    "ack_ids": list(chunk.values()),
                    **settings,
                },
                timeout=_CALL_SECS,
                retry=None,
            )
        except GoogleAPICallError as error:
            if passes(error):
                raise
            _LOGGER.warning(
                "subscription '%s': the leases of %d messages are lost (%s); they may be "
                "delivered again",
                self._subscription,
                len(chunk),
                brief(error),
            )

    def _drop(self, chunk: dict[str, str], due: dict[str, None]) -> None:
        now = time.monotonic()
        with self._lock:
            for key, ack_id in chunk.items():
                lease = self._leases[key]
                if key not in due:
                    lease.expires_at = now  # given back, then acknowledged: to be settled again
                    continue
                if lease.ack_id != ack_id:
                    continue  # delivered again meanwhile: to be settled again
                if due is self._done and lease.expires_at < now:
                    self._late[key] = now + _REMEMBER_SECS
                del self._leases[key], due[key]

    def _prolong(self) -> None:
        now = time.monotonic()
        if now < self._looked_at + _LOOK_SECS or self._is_left():
            return
        self._looked_at = now
        with self._lock:
            ending = [
                (key, lease.ack_id)
                for key, lease in self._leases.items()
                if lease.expires_at < now + PROLONG_BEFORE_SECS
                and key not in self._done
                and key not in self._returned
            ]
            for key in [key for key, until in self._late.items() if until < now]:
                del self._late[key]
        for start in range(0, len(ending), _REQUEST_IDS):
            chunk = dict(ending[start : start + _REQUEST_IDS])
            self._request(self._client.modify_ack_deadline, chunk, ack_deadline_seconds=_LEASE_SECS)
            with self._lock:
                for key, ack_id in chunk.items():
                    lease = self._leases.get(key)
                    if lease is not None and lease.ack_id == ack_id:
                        lease.expires_at = now + _LEASE_SECS
