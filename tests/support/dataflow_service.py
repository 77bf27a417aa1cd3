"""Loopback services in the place of Google's: the Dataflow API, and a storage that refuses."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Body = dict[str, Any]


# https://cloud.google.com/dataflow/docs/reference/rest
_LAUNCH = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/flexTemplates:launch")
_JOBS = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs")


@dataclass(frozen=True)
class Request:
    """A request that the API accepted; `body` is its JSON.

    `kind`: "launch" for a template's launch, "create" for a job.
    """

    kind: str
    project: str
    region: str
    body: Body


class Loopback:
    """An HTTP server of this process, on a free port; ends with the ``with`` block.

    Attributes:
      url: where it listens, without a slash at the end.
    """

    def __init__(self) -> None:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status, body = answer(self.command, self.path, self.rfile.read(length))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815  # http.server looks for these

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Body | bytes]:
        """The status and the content of the answer: JSON, or bytes as they are."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


class DataflowService(Loopback):
    """The part of the Dataflow API that starts jobs, for `gcloud` and for Beam's client.

    As the API does, it refuses bodies with fields or values that it does not know, by the messages
    of the official client library.

    Attributes:
      requests: what was accepted, in order.
      refusals: why other requests were not.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusals: list[str] = []
        super().__init__()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Body | bytes]:
        from google.protobuf.json_format import ParseError

        path = path.partition("?")[0]
        try:
            if method == "POST" and (found := _LAUNCH.fullmatch(path)):
                return 200, {"job": self._start("launch", found[1], found[2], body)}
            if method == "POST" and (found := _JOBS.fullmatch(path)):
                return 200, self._start("create", found[1], found[2], body)
        except ParseError as error:
            return self._refuse(400, "INVALID_ARGUMENT", str(error))
        return self._refuse(404, "NOT_FOUND", f"{method} {path}")

    def _refuse(self, code: int, status: str, message: str) -> tuple[int, Body]:
        self.refusals.append(message)
        return code, error_body(code, status, message)

    def _start(self, kind: str, project: str, region: str, body: bytes) -> Body:
        from google.cloud.dataflow_v1beta3 import Job, LaunchFlexTemplateRequest
        from google.protobuf.json_format import ParseDict

        content = json.loads(body)
        message = LaunchFlexTemplateRequest if kind == "launch" else Job
        ParseDict(content, message.pb()())
        self.requests.append(Request(kind, project, region, content))
        name = content["launchParameter"]["jobName"] if kind == "launch" else content["name"]
        number = f"2025-01-01_00_00_00-{len(self.requests)}"
        return {"id": number, "name": name, "projectId": project, "location": region}


class ForbiddenStorage(Loopback):
    """A Cloud Storage that grants nothing to whoever asks."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Body | bytes]:
        reason = "the caller does not have storage.objects access"
        return 403, error_body(403, "PERMISSION_DENIED", reason)


def error_body(code: int, status: str, message: str) -> Body:
    return {"error": {"code": code, "status": status, "message": message}}
