"""As much of Cloud Storage and On-Demand Scanning as gcloud needs, on the loopback interface.

The storage emulator of the other tests cannot read the uploads of gcloud.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Resource = dict[str, Any]
Query = Mapping[str, list[str]]


SCAN = "projects/my-project/locations/us/scans/1"


@dataclass
class Services:
    """What the services hold.

    Attributes:
      bucket: the only bucket.
      objects: its objects, by name.
      vulnerabilities: what the scan found, as `vulnerability` makes it.
    """

    bucket: str = "my-bucket"
    objects: dict[str, bytes] = field(default_factory=dict)
    vulnerabilities: list[Resource] = field(default_factory=list)

    def __enter__(self) -> Services:
        services = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = services.answer(self.command, self.path, body)
                self.send_response(status)
                text = json.dumps(content).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer  # noqa: N815  # http.server looks for these names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send gcloud here."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{url}/storage/v1/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_ONDEMANDSCANNING": f"{url}/",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        }

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, Resource]:
        """Status and content for one request."""
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path == f"/v1/{SCAN}/vulnerabilities":
            return 200, {"occurrences": self.vulnerabilities}
        if not re.search(rf"/b/{self.bucket}/o\b", path):
            return 404, _error(404, "The specified bucket does not exist.")
        if method == "GET":
            return self._read(path, query)
        if path.startswith("/upload/"):
            name, content = _upload(body)
            return self._write(name, content, query)
        source, target = (unquote(part.partition("/o/")[2]) for part in path.split("/rewriteTo/"))
        status, resource = self._write(target, self.objects[source], query)
        return status, {"done": True, "resource": resource}

    def _read(self, path: str, query: Query) -> tuple[int, Resource]:
        name = unquote(path.partition("/o/")[2])
        if name:
            found = name in self.objects
            return (200, self._resource(name)) if found else (404, _error(404, "Not Found"))
        prefix = query.get("prefix", [""])[0]
        names = [name for name in self.objects if name.startswith(prefix)]
        return 200, {"items": [self._resource(name) for name in names]}

    def _write(self, name: str, content: bytes, query: Query) -> tuple[int, Resource]:
        if query.get("ifGenerationMatch") == ["0"] and name in self.objects:
            return 412, _error(
                412, "At least one of the pre-conditions you specified did not hold."
            )
        self.objects[name] = content
        return 200, self._resource(name)

    def _resource(self, name: str) -> Resource:
        content = self.objects[name]
        return {
            "kind": "storage#object",
            "bucket": self.bucket,
            "name": name,
            "etag": "1",
            "generation": "1",
            "metageneration": "1",
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
        }


def vulnerability(severity: str, name: str, *packages: str, fixed: bool) -> Resource:
    """A finding of a scan, with the fields that the service gives a package of Debian.

    The service leaves out `fixAvailable` where it is false, and names a version beyond all others
    as the one that fixes it.
    """
    version = {"name": "1.2.13.dfsg", "revision": "1", "kind": "NORMAL"}
    debian = "cpe:/o:debian:debian_linux:12"
    issue: Resource = {
        "affectedCpeUri": debian,
        "affectedVersion": {**version, "epoch": 1, "fullName": "1:1.2.13.dfsg-1"},
        "effectiveSeverity": severity,
        "fixedCpeUri": debian,
        "fixedVersion": {"kind": "MAXIMUM"},
        "packageType": "OS",
    }
    if fixed:
        new = {**version, "epoch": 1, "revision": "2", "fullName": "1:1.2.13.dfsg-2"}
        issue |= {"fixAvailable": True, "fixedVersion": new}
    found: Resource = {
        "effectiveSeverity": severity,
        "cvssScore": 9.8,
        "packageIssue": [{**issue, "affectedPackage": p, "fixedPackage": p} for p in packages],
        "relatedUrls": [{"url": f"https://security-tracker.debian.org/tracker/{name}"}],
        "severity": severity,
        "shortDescription": name,
    }
    if fixed:
        found["fixAvailable"] = True
    return {
        "name": f"projects/my-project/locations/us/occurrences/{name}",
        "createTime": "2026-11-30T04:00:00Z",
        "kind": "VULNERABILITY",
        "noteName": f"projects/goog-vulnz/notes/{name}",
        "vulnerability": found,
    }


def _upload(body: bytes) -> tuple[str, bytes]:
    """Name and content in a multipart upload."""
    boundary = body.partition(b"\n")[0]
    meta, content = body.split(boundary)[1:3]
    name = json.loads(meta.partition(b"\n\n")[2])["name"]
    return name, content.partition(b"\n\n")[2].removesuffix(b"\n")


def _error(code: int, message: str) -> Resource:
    return {"error": {"code": code, "message": message, "errors": [{"message": message}]}}
