"""A storage that refuses, which the emulator cannot play."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class _Refuse(BaseHTTPRequestHandler):
    def _answer(self):
        self.server.requests.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"error": {"code": 403, "message": "no access"}}).encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  # the names that it looks for

    def log_message(self, *_):
        pass


@pytest.fixture
def forbidden_gcs(gcs, monkeypatch):
    """Every request to ``gs://`` is answered with 403; the list of requests so far."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refuse) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server.requests
        server.shutdown()
        thread.join()
