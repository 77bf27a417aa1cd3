"""The two ends of a stream: records published at a given rate, predictions received and timed.

Both talk protobuf over gRPC without the client library, which would take more of the machine than
the job under test. A record's id is its number, so when it was due follows from its id.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np
import orjson
from google.pubsub_v1.types import (
    AcknowledgeRequest,
    PublishRequest,
    PublishResponse,
    PubsubMessage,
    PullRequest,
    PullResponse,
)

from benchmarks.support.small_models import FEATURES

_TICK_SECS = 0.01  # the default of Pub/Sub's own publisher clients
_REQUEST_MESSAGES = 1000
_IN_FLIGHT = 16
_VECTORS = 512
_CALL_SECS = 60.0
_PULLERS = 2
_CHANNEL = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Order:
    """Records to publish.

    Attributes:
      first: id of the first; the others count on.
      rate: records/s.
      secs: for how long.
      start: when the first is due, on the monotonic clock, which all processes share.
    """

    first: int
    rate: float
    secs: float
    start: float

    @property
    def count(self) -> int:
        return int(self.rate * self.secs)


class Publisher:
    """A process that publishes one order at a time. Ends with the ``with`` block.

    Args:
      address: of the emulator.
      topic: full name.
    """

    def __init__(self, address: str, topic: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._published = context.Value("q", 0)
        self._process = context.Process(
            target=_publish_orders, args=(address, topic, theirs, self._published), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    @property
    def published(self) -> int:
        """How many records Pub/Sub has taken, of all orders so far."""
        return int(self._published.value)

    def begin(self, order: Order) -> None:
        """Starts on an order; returns at once."""
        self._orders.send(order)

    def finish(self, timeout_secs: float) -> None:
        """Waits until all records of the order are published.

        Raises:
          TimeoutError: they are not.
        """
        if not self._orders.poll(timeout_secs):
            raise TimeoutError(f"the publisher is not done {timeout_secs:.0f} s later")
        self._orders.recv()


def _publish_orders(address: str, topic: str, orders: Connection, published: Any) -> None:
    rng = np.random.default_rng(1)
    vectors = [orjson.dumps(x) for x in rng.normal(size=(_VECTORS, FEATURES)).round(4).tolist()]
    with grpc.insecure_channel(address, _CHANNEL) as channel:
        publish = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=PublishRequest.pb().SerializeToString,
            response_deserializer=PublishResponse.pb().FromString,
        )
        while True:
            order = orders.recv()
            _publish(publish, topic, vectors, order, published)
            orders.send("done")


def _publish(publish: Any, topic: str, vectors: list[bytes], order: Order, published: Any) -> None:
    """Publishes what has become due at each tick; falls behind where Pub/Sub is slower."""
    message, request = PubsubMessage.pb(), PublishRequest.pb()
    in_flight: deque[Any] = deque()
    sent = 0

    def settle() -> None:
        answer = in_flight.popleft().result()
        with published.get_lock():
            published.value += len(answer.message_ids)

    while sent < order.count:
        due = min(order.count, int((time.monotonic() - order.start) * order.rate))
        upto = min(due, sent + _REQUEST_MESSAGES)
        if upto > sent:
            ids = range(order.first + sent, order.first + upto)
            data = [b'{"id":%d,"x":%b}' % (i, vectors[i % _VECTORS]) for i in ids]
            messages = [message(data=each) for each in data]
            in_flight.append(
                publish.future(request(topic=topic, messages=messages), timeout=_CALL_SECS)
            )
            sent = upto
        while in_flight and (len(in_flight) > _IN_FLIGHT or in_flight[0].done()):
            settle()
        if sent == due:
            time.sleep(_TICK_SECS)
    while in_flight:
        settle()


class Receiver:
    """Takes predictions from a subscription, in threads. Ends with the ``with`` block.

    Args:
      address: of the emulator.
      subscription: full name.
    """

    def __init__(self, address: str, subscription: str) -> None:
        self._subscription = subscription
        self._lock = threading.Lock()
        self._arrivals: list[tuple[float, list[int]]] = []
        self._seen: set[int] = set()
        self._repeated = 0
        self._failure: Exception | None = None
        self._closing = False
        self._channel = grpc.insecure_channel(address, _CHANNEL)
        self._pull = self._channel.unary_unary(
            "/google.pubsub.v1.Subscriber/Pull",
            request_serializer=PullRequest.pb().SerializeToString,
            response_deserializer=PullResponse.pb().FromString,
        )
        self._acknowledge = self._channel.unary_unary(
            "/google.pubsub.v1.Subscriber/Acknowledge",
            request_serializer=AcknowledgeRequest.pb().SerializeToString,
        )
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_PULLERS)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._channel.close()
        for thread in self._threads:
            thread.join()

    @property
    def received(self) -> int:
        """How many records have a prediction, of all so far.

        Raises:
          Exception: receiving failed.
        """
        if self._failure is not None:
            raise self._failure
        return len(self._seen)

    @property
    def repeated(self) -> int:
        """How many predictions came of records that had one."""
        return self._repeated

    def take_latencies(self, order: Order, skip_secs: float) -> Array:
        """From when each record of an order was due to when its prediction was received, in s.

        Forgets what has arrived; in the order of arrival.

        Args:
          order: which records.
          skip_secs: leaves out the records that were due in these first seconds.
        """
        with self._lock:
            arrivals, self._arrivals = self._arrivals, []
        ids = np.array([i for _, some in arrivals for i in some], dtype=np.int64) - order.first
        times = np.repeat([at for at, _ in arrivals], [len(some) for _, some in arrivals])
        wanted = (ids >= skip_secs * order.rate) & (ids < order.count)
        return times[wanted] - (order.start + ids[wanted] / order.rate)

    def _run(self) -> None:
        request = PullRequest.pb()(subscription=self._subscription, max_messages=1000)
        acknowledged: deque[Any] = deque()
        try:
            while not self._closing:
                try:
                    # Long: a request that is ended may take messages along.
                    answer = self._pull(request, timeout=_CALL_SECS)
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                        continue
                    raise
                if answer.received_messages:
                    acknowledged.append(self._take(answer.received_messages))
                while acknowledged and (len(acknowledged) > _IN_FLIGHT or acknowledged[0].done()):
                    acknowledged.popleft().result()
        except Exception as error:
            if not self._closing:
                self._failure = error

    def _take(self, messages: Any) -> Any:
        """Returns the acknowledgement under way, which must be kept: dropped, it is cancelled."""
        at = time.monotonic()
        ids = [int(each.message.attributes["record_id"]) for each in messages]
        with self._lock:
            new = [i for i in dict.fromkeys(ids) if i not in self._seen]
            self._seen.update(new)
            self._repeated += len(ids) - len(new)
            self._arrivals.append((at, new))
        return self._acknowledge.future(
            AcknowledgeRequest.pb()(
                subscription=self._subscription, ack_ids=[each.ack_id for each in messages]
            ),
            timeout=_CALL_SECS,
        )
