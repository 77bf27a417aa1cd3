"""What the emulator cannot play, and what the log says."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest


class _Service(grpc.GenericRpcHandler):
    def __init__(self, answers):
        self._answers = answers

    def service(self, details):
        answer = self._answers[details.method.rpartition("/")[2]]

        def respond(request, context):
            found = answer(request) if callable(answer) else answer
            if isinstance(found, grpc.StatusCode):
                found = found, "said by the test"
            if isinstance(found, tuple):
                context.abort(*found)
            return found

        return grpc.unary_unary_rpc_method_handler(respond)


@pytest.fixture
def service(monkeypatch):
    """Plays Pub/Sub: ``service(Pull=...)``, a status or the bytes of a response for each method.

    A status may have a text with it.

    A function makes them from the bytes of the request.
    """
    with ThreadPoolExecutor(4) as pool:
        servers = []

        def start(**answers):
            server = grpc.server(pool, [_Service(answers)])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")

        yield start
        for server in servers:
            server.stop(None).wait()


class Warnings(logging.Handler):
    """The warnings of the connectors, as they are logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []
        self._changed = threading.Condition()

    def emit(self, record):
        with self._changed:
            self.texts.append(record.getMessage())
            self._changed.notify_all()

    def wait_for(self, n, timeout=20):
        """Waits until there are `n`; False if they do not come in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.texts) >= n, timeout)


@pytest.fixture
def warnings():
    """Collects them while the test runs."""
    logger = logging.getLogger("pipeline.connectors")
    handler = Warnings()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def topic(pubsub):
    return pubsub.new_topic()


@pytest.fixture
def subscription(pubsub, topic):
    return pubsub.new_subscription(topic)
