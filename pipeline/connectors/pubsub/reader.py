"""Reads a subscription in the background, so that a bundle only takes what has arrived.

One thread for each reader asks Pub/Sub for messages and waits as long as the service lets it; what
arrives waits in a bounded queue. Asking one request at a time brought 22,000 messages/s from the
emulator, no later than a streaming pull did; and each request says whether the service answers,
which a stream without messages does not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError
from google.pubsub_v1.types import PullResponse

from pipeline.batch.block import Origin
from pipeline.connectors.pubsub import own_subscription
from pipeline.connectors.pubsub.checks import has_lost_topic
from pipeline.connectors.pubsub.clients import new_subscriber
from pipeline.connectors.pubsub.errors import (
    EDITOR_ROLE,
    SUBSCRIBER_ROLE,
    brief,
    explain,
    outage,
    passes,
    pause_secs,
)
from pipeline.connectors.pubsub.leases import Leases
from pipeline.errors import ServiceError
from pipeline.readable import logger
from pipeline.runner.activity import activity
from pipeline.runner.confirmations import Confirmations

_LOGGER = logger(__name__)

_MAX_QUEUED = 5_000
_MAX_QUEUED_BYTES = 64 << 20
_PULL_MESSAGES = 1000
PATIENT_SECS = 20.0  # one request may wait so long for a message; then there must be an answer
IMPATIENT_SECS = 5.0
UNUSED_SECS = 60.0
RETRY_SECS = 60.0
SILENCE_SECS = 15.0  # after so long without a message, its subscription is looked at
# So many in a row are longer than others lease a message for; and the service may answer a request
# with nothing although there is something.
_SILENCES = 3
# A request that is ended while its answer is under way loses these messages until their leases run
# out: time for the answer, if there is one.
_HANG_UP_SECS = 0.3


def always() -> bool:
    """True."""
    return True


class Pulled(NamedTuple):
    """A message that arrived."""

    message_id: str
    payload: bytes
    origin: Origin


class Reader:
    """Pulls from one subscription until told to stop. Safe from any thread.

    Args:
      subscription: ``projects/P/subscriptions/S``.
      topic: if given, the subscription is made at the start, to this topic, and deleted at the end.
        Should the process be killed, Pub/Sub deletes it after a day without use.
      settled: whether all that messages caused so far is done. What is to be acknowledged waits for
        that, and is given back if the source ends before.
      required: whether a subscription that gives nothing any more fails. If not, that is said
        again and again, and it is tried again.
      confirms_late: see `runner.confirmations`. On the runners that need it the source may go on in
        another process, which nobody says to this one: then a reader that is not `in_use` for
        UNUSED_SECS asks for no message and prolongs no lease any more, until it is again.

    Attributes:
      confirmations: of what was emitted.
    """

    def __init__(
        self,
        subscription: str,
        topic: str | None = None,
        confirms_late: bool = False,
        settled: Callable[[], bool] = always,
        required: bool = True,
    ) -> None:
        self.confirmations = Confirmations(confirms_late)
        self._may_be_left = confirms_late
        self._users = 0
        self._used_at = time.monotonic()
        self._subscription = subscription
        self._topic = topic
        self._settled = settled
        self._required = required
        self._may_look = True
        self._silences = 0
        self._look_at = time.monotonic() + SILENCE_SECS
        self._committed: list[str] = []
        self._leases = Leases(subscription, self._is_left)
        self._client = new_subscriber()
        self._outage = outage(subscription, _LOGGER)
        self._changed = threading.Condition()
        self._queue: deque[Pulled] = deque()
        self._queued_bytes = 0
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pubsub-pull", daemon=True)
        self._thread.start()

    def take(self, max_rows: int, max_bytes: int, patience_secs: float = 0.0) -> list[Pulled]:
        """The next messages, at least one if any has arrived.

        Each is to be acknowledged or given back.

        Args:
          max_rows: most messages.
          max_bytes: most bytes of payload, but for a single larger one.
          patience_secs: how long to wait for `max_rows`, once there is one. Without any, returns
            at once.

        Raises:
          ServiceError: the subscription or its topic is gone, or it may not be read; where it is
            required.
        """
        taken: list[Pulled] = []
        with self._changed:
            if self._queue and patience_secs:
                self._changed.wait_for(
                    lambda: len(self._queue) >= max_rows or self._stop.is_set(), patience_secs
                )
            while self._queue and len(taken) < max_rows:
                max_bytes -= len(self._queue[0].payload)
                if taken and max_bytes < 0:
                    break
                taken.append(self._queue.popleft())
            self._queued_bytes -= sum(len(message.payload) for message in taken)
            self._changed.notify_all()
        if not taken and self._failure is not None:
            raise self._failure
        return taken

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A bundle takes messages, or works on what it took."""
        with self._changed:
            self._users += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._used_at = time.monotonic()

    def acknowledge(self, message_ids: Iterable[str]) -> None:
        """These have been dealt with, but for what has to settle."""
        with self._changed:
            self._committed += message_ids
        self.settle()

    def settle(self) -> None:
        """Acknowledges what waits for it, if all that messages caused is done."""
        with self._changed:  # before asking: what is added meanwhile may have caused more
            asked = set(self._committed)
        if asked and self._settled():
            with self._changed:  # another thread may have settled some of them
                done = [message for message in self._committed if message in asked]
                self._committed = [m for m in self._committed if m not in asked]
            self._leases.acknowledge(done)

    def give_back(self, message_ids: Iterable[str]) -> None:
        """These have not been dealt with; Pub/Sub delivers them again."""
        self._leases.give_back(message_ids)

    def stop_pulling(self) -> None:
        """Nothing more is pulled; what has arrived can still be taken. Does not wait."""
        if self._stop.is_set():
            return
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        hang_up = threading.Timer(_HANG_UP_SECS, self._client.close)
        hang_up.daemon = True
        hang_up.start()

    @property
    def is_exhausted(self) -> bool:
        """Whether pulling was stopped, and all that had arrived is taken."""
        return not self._thread.is_alive() and not self._queue and self._failure is None

    def oldest_us(self) -> int | None:
        """The earliest publish time of what waits to be taken, UTC microseconds since 1970."""
        with self._changed:
            return min((message.origin.event_time_us for message in self._queue), default=None)

    def close(self) -> None:
        """Stops; gives back what is held. Waits some seconds at most."""
        self.stop_pulling()
        self._thread.join()
        self.settle()
        self._leases.close()
        if self._topic is not None:
            own_subscription.delete(self._subscription)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._read()
                except ServiceError as error:
                    if self._required or self._stop.is_set():
                        raise
                    _LOGGER.error("%s; the job goes on without its messages, trying again", error)
                    self._stop.wait(RETRY_SECS)
        except BaseException as error:
            if not self._stop.is_set():
                self._failure = error
                activity.note()
        finally:
            self._client.close()

    def _read(self) -> None:
        """Pulls until told to stop."""
        self._may_look = True
        self._count_silence(0)
        if self._topic is not None:
            self._until_it_works(self._create)
        while not self._stop.is_set():
            self._wait_for_room()
            self._until_it_works(self._pull)

    def _is_left(self) -> bool:
        unused = not self._users and time.monotonic() > self._used_at + UNUSED_SECS
        return self._may_be_left and unused

    def _until_it_works(self, attempt: Callable[[bool], None]) -> None:
        """Repeats `attempt`, which is told whether it may wait, until it works or we stop."""
        failures = 0
        patient = True
        while not self._stop.is_set():
            try:
                attempt(patient)
            except Exception as error:
                if self._stop.is_set() or not passes(error):
                    raise
                if isinstance(error, DeadlineExceeded) and patient:
                    patient = False  # nothing to read, or nobody there?
                    continue
                patient = False
                self._outage.begin(brief(error))
                self._stop.wait(pause_secs(failures))
                failures += 1
            else:
                self._outage.end()
                return

    def _create(self, patient: bool) -> None:
        assert self._topic is not None
        try:
            own_subscription.create(self._client, self._subscription, self._topic)
        except GoogleAPICallError as error:
            if passes(error):
                raise
            raise ServiceError(explain(self._topic, error, EDITOR_ROLE)) from error

    def _pull(self, patient: bool) -> None:
        request = {
            "subscription": self._subscription,
            "max_messages": _PULL_MESSAGES,
            "return_immediately": not patient,
        }
        timeout_secs = PATIENT_SECS if patient else IMPATIENT_SECS
        try:
            response = self._client.pull(request=request, timeout=timeout_secs, retry=None)
        except GoogleAPICallError as error:
            if passes(error):
                raise
            raise ServiceError(explain(self._subscription, error, SUBSCRIBER_ROLE)) from error
        # The plain protobuf: wrapping each message costs more than pulling it.
        received = PullResponse.pb(response).received_messages
        self._keep_new(received)
        if received or self._leases.any_held():
            self._count_silence(0)
        elif time.monotonic() >= self._look_at:
            self._count_silence(self._silences + 1)
            self._look_at_topic()

    def _count_silence(self, silences: int) -> None:
        self._silences = silences
        self._look_at = time.monotonic() + SILENCE_SECS

    def _look_at_topic(self) -> None:
        """Tells silence from a subscription that is silent for ever: pulling shows no difference.

        Raises:
          ServiceError: it is, and has had nothing left for a while.
        """
        if not self._may_look:
            return
        try:
            found = self._client.get_subscription(
                subscription=self._subscription, timeout=IMPATIENT_SECS, retry=None
            )
        except GoogleAPICallError as error:  # who may pull may not always look
            self._may_look = passes(error)
            return
        if not has_lost_topic(found):
            return
        subscription = f"subscription '{self._subscription}'"
        whose = f"topic '{self._topic}'" if self._topic else f"the topic of {subscription}"
        gone = f"{whose} was deleted, so no message comes any more"
        if self._silences >= _SILENCES:
            raise ServiceError(gone)
        if self._silences == 1:
            _LOGGER.warning("%s; reading what may be left", gone)

    def _keep_new(self, received: Sequence[Any]) -> None:
        new = self._leases.take_up([(each.message.message_id, each.ack_id) for each in received])
        by_id = {each.message.message_id: each.message for each in received}  # one may come twice
        messages = [_pulled(message) for name, message in by_id.items() if name in new]
        if messages:
            with self._changed:
                self._queue.extend(messages)
                self._queued_bytes += sum(len(message.payload) for message in messages)
                self._changed.notify_all()
            activity.note()

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stop.is_set()
                    or (
                        len(self._queue) < _MAX_QUEUED
                        and self._queued_bytes < _MAX_QUEUED_BYTES
                        and not self._is_left()
                    )
                )
            )


def _pulled(message: Any) -> Pulled:
    published = message.publish_time
    origin = Origin(
        event_time_us=published.seconds * 1_000_000 + published.nanos // 1000,
        attributes=dict(message.attributes),
        ordering_key=message.ordering_key,
    )
    return Pulled(message.message_id, message.data, origin)
