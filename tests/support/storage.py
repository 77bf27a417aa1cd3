"""An emulated Cloud Storage as tests see it."""

from __future__ import annotations

import itertools
from typing import Any


class Gcs:
    """An emulated Cloud Storage, seen from a test. Locations are ``gs://`` URIs."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._numbers = itertools.count(1)

    def new_bucket(self) -> str:
        """The URI of an empty bucket."""
        name = f"bucket-{next(self._numbers)}"
        self._client.create_bucket(name)
        return f"gs://{name}"

    def upload(self, uri: str, content: bytes | str) -> None:
        self._blob(uri).upload_from_string(content)

    def upload_packed(self, uri: str, content: bytes, content_type: str) -> None:
        """Uploads what is compressed, with `Content-Encoding: gzip`."""
        blob = self._blob(uri)
        blob.content_encoding = "gzip"
        blob.upload_from_string(content, content_type=content_type)

    def download(self, uri: str) -> bytes:
        content: bytes = self._blob(uri).download_as_bytes()
        return content

    def content_type(self, uri: str) -> str | None:
        blob = self._blob(uri)
        blob.reload()
        found: str | None = blob.content_type
        return found

    def list(self, uri: str) -> list[str]:
        """The URIs of all objects below `uri`, sorted."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        blobs = self._client.list_blobs(bucket, prefix=prefix)
        return sorted(f"gs://{bucket}/{blob.name}" for blob in blobs)

    def _blob(self, uri: str) -> Any:
        from google.cloud.storage import Blob

        return Blob.from_uri(uri, client=self._client)
