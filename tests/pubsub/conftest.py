"""What the emulator cannot play: a service that refuses; and what the log says."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest


class _Refuse(grpc.GenericRpcHandler):
    def __init__(self, code):
        self._code = code

    def service(self, details):
        def abort(_, context):
            context.abort(self._code, "refused by the test")

        return grpc.unary_unary_rpc_method_handler(abort)


@pytest.fixture
def refusing(monkeypatch):
    """``refusing(grpc.StatusCode...)``: from then on, Pub/Sub answers every request with it."""
    with ThreadPoolExecutor(4) as pool:
        servers = []

        def start(code):
            server = grpc.server(pool, [_Refuse(code)])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")

        yield start
        for server in servers:
            server.stop(None).wait()


class Warnings(logging.Handler):
    """The warnings of the Pub/Sub connectors, as they are logged."""

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
