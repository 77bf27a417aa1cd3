"""The official Pub/Sub emulator, and a loopback proxy to put in front of any emulator."""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

_Item = TypeVar("_Item")


INSTALL = (
    "the Pub/Sub emulator is not installed. It is part of the Google Cloud CLI and needs Java: "
    "`gcloud components install beta pubsub-emulator`, or, where the CLI came as a Debian package, "
    "`apt-get install google-cloud-cli-pubsub-emulator`"
)
PROJECT = "test-project"
_START_SECS = 60
_MARK = "mark-of-the-test"


class EmulatorError(Exception):
    """The emulator did not start; the message says why."""


class PubSubEmulator:
    """A running emulator; keeps everything in memory, under the folder nothing but its log."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._log = folder / "log"
        if shutil.which("gcloud") is None or shutil.which("java") is None:
            raise EmulatorError(INSTALL)
        command = shlex.join(
            [
                *("gcloud", "beta", "emulators", "pubsub", "start", "--quiet"),
                f"--host-port={self.address}",
                f"--project={PROJECT}",
                f"--data-dir={folder}",
            ]
        )
        with self._log.open("w") as log:
            # gcloud by itself would leave the emulator behind. So a shell watches its input, which
            # ends with this process, however that ends, and then ends the whole group.
            watch = "exec 3<&0; (read _ <&3; kill -- -$$) & exec"
            self._process = subprocess.Popen(
                ["sh", "-c", f"{watch} {command} < /dev/null 3<&-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "CLOUDSDK_CONFIG": str(folder / "gcloud")},
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends it and its children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)

    def _wait_until_it_answers(self) -> None:
        import grpc

        give_up_at = time.monotonic() + _START_SECS
        with grpc.insecure_channel(
            self.address, [("grpc.max_reconnect_backoff_ms", 200)]
        ) as channel:
            while True:
                try:
                    grpc.channel_ready_future(channel).result(timeout=1)
                    return
                except grpc.FutureTimeoutError:
                    pass
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    log = self._log.read_text()
                    if "gcloud components" in log or "apt-get install" in log:
                        raise EmulatorError(f"{INSTALL}\n{log}")
                    raise EmulatorError(f"the Pub/Sub emulator does not answer:\n{log}")


class PubSub:
    """Pub/Sub seen from a test, which goes straight to the emulator whatever the environment says.

    Topics and subscriptions are full names.
    """

    def __init__(self, address: str) -> None:
        import grpc
        from google.cloud.pubsub_v1 import SubscriberClient
        from google.pubsub_v1.services.publisher import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        self.address = address
        channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._numbers = itertools.count(1)

    def new_topic(self) -> str:
        """The name of a new topic."""
        name = f"projects/{PROJECT}/topics/topic-{next(self._numbers)}"
        self.publisher.create_topic(name=name)
        return name

    def new_subscription(self, topic: str, **settings: Any) -> str:
        """The name of a new subscription to a topic."""
        name = f"projects/{PROJECT}/subscriptions/subscription-{next(self._numbers)}"
        self.subscriber.create_subscription(request={"name": name, "topic": topic, **settings})
        return name

    def publish(
        self,
        topic: str,
        data: bytes,
        attributes: dict[str, str] | None = None,
        ordering_key: str = "",
    ) -> None:
        """Publishes one message."""
        message: Any = {"data": data, "attributes": attributes or {}, "ordering_key": ordering_key}
        self.publisher.publish(topic=topic, messages=[message])

    def publish_all(self, topic: str, payloads: Iterable[bytes]) -> None:
        """Publishes a message for each payload, in order."""
        from google.pubsub_v1.types import PublishRequest, PubsubMessage

        message_type = PubsubMessage.pb()
        for some in _batched(payloads, 1000):
            request = PublishRequest.pb()(
                topic=topic, messages=[message_type(data=data) for data in some]
            )
            self.publisher.publish(PublishRequest(request))

    def pull_all(self, subscription: str, n: int, timeout: float = 20) -> list[Any]:
        """Waits for `n` messages, acknowledges and returns them; fails if they do not come."""
        found: list[Any] = []
        give_up_at = time.monotonic() + timeout
        while len(found) < n:
            left = give_up_at - time.monotonic()
            assert left > 0, f"{len(found)} of {n} messages came in {timeout} s"
            found += self._pull(subscription, n - len(found), min(left, 5))
        return found

    def unacknowledged(self, subscription: str) -> int:
        """How many messages it still has, also those that somebody holds; acknowledges them."""
        given_back = self.given_back(subscription)
        self.deliver_again(subscription)
        return given_back + self.given_back(subscription)

    def given_back(self, subscription: str) -> int:
        """How many messages it has that nobody holds; acknowledges them. Nobody may read it.

        An empty answer alone shows nothing: the emulator gives what there is to a request whose
        client is gone, until it notices. So a message of our own goes behind the others, and
        another one if it does not come.
        """
        topic = self.subscriber.get_subscription(subscription=subscription).topic
        others, ours = 0, False
        while not ours:
            mark = str(uuid.uuid4())
            self.publish(topic, b"", {_MARK: mark})
            while messages := self._pull(subscription, 1000, 5, return_immediately=True):
                others += sum(_MARK not in each.attributes for each in messages)
                ours |= any(each.attributes.get(_MARK) == mark for each in messages)
        return others

    def deliver_again(self, subscription: str) -> None:
        """Everything that it has; what was acknowledged if it retains that."""
        self.subscriber.seek(request={"subscription": subscription, "time": {"seconds": 1}})

    def _pull(
        self, subscription: str, at_most: int, timeout: float, return_immediately: bool = False
    ) -> list[Any]:
        from google.api_core.exceptions import DeadlineExceeded

        request = {
            "subscription": subscription,
            "max_messages": at_most,
            "return_immediately": return_immediately,
        }
        try:
            answer = self.subscriber.pull(request=request, timeout=timeout, retry=None)
        except DeadlineExceeded:
            return []
        if answer.received_messages:
            self.subscriber.acknowledge(
                subscription=subscription,
                ack_ids=[each.ack_id for each in answer.received_messages],
            )
        return [each.message for each in answer.received_messages]


def _batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    items = iter(items)
    while some := list(itertools.islice(items, size)):
        yield some


class Proxy:
    """A loopback TCP proxy; the line through it can be slowed, stalled, cut and restored.

    Attributes:
      address: where it listens, "host:port".
      refused: released once for each connection that was reset right away; wait for it to see
        clients try.
    """

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._delay_secs = 0.0
        self._is_cut = False
        self.refused = threading.Semaphore(0)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def slow(self, delay_secs: float) -> None:
        """Every piece that arrives is held back for so long."""
        self._delay_secs = delay_secs

    def stall(self) -> None:
        """Connections stay and can be made, but nothing comes through."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def cut(self) -> None:
        """All connections are reset, and so are new ones."""
        self._is_cut = True
        self._do(self._reset())

    def restore(self) -> None:
        """As at the start."""
        self._is_cut = False
        self._delay_secs = 0.0
        self._loop.call_soon_threadsafe(self._flowing.set)

    def close(self) -> None:
        """Ends it."""
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def _do(self, coroutine: Coroutine[Any, Any, _Item]) -> _Item:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        lines = asyncio.all_tasks() - {asyncio.current_task()}
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            self.refused.release()
            return
        self._writers.add(writer)
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        self._writers.add(there_writer)
        try:
            await asyncio.gather(
                self._pass_on(reader, there_writer), self._pass_on(there_reader, writer)
            )
        except ConnectionError:
            pass  # by either side, or cut
        finally:
            for each in (writer, there_writer):
                each.transport.abort()
                self._writers.discard(each)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._flowing.wait()
            if self._delay_secs:
                await asyncio.sleep(self._delay_secs)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
