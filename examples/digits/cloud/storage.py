"""Cloud Storage: files up, files down, a folder removed."""

from __future__ import annotations

from urllib.parse import quote

from cloud.rest import ApiError, Json, Rest

HOST = "https://storage.googleapis.com"


class Storage:
    """Objects by their ``gs://`` URIs."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def upload(self, uri: str, content: bytes) -> None:
        """Writes an object."""
        bucket, name = _parts(uri)
        query = {"uploadType": "media", "name": name}
        self._rest.upload(f"{HOST}/upload/storage/v1/b/{bucket}/o", content, query)

    def download(self, uri: str) -> bytes:
        """The content of an object."""
        return self._rest.download(f"{_object(uri)}?alt=media")

    def list(self, prefix: str) -> list[str]:
        """The URIs of all objects that begin with `prefix`."""
        bucket, name = _parts(prefix)
        found: list[str] = []
        query: Json = {"prefix": name}
        while True:
            answer = self._rest.call("GET", f"{HOST}/storage/v1/b/{bucket}/o", query=query)
            found += [f"gs://{bucket}/{each['name']}" for each in answer.get("items", ())]
            if not (token := answer.get("nextPageToken")):
                return found
            query = {**query, "pageToken": token}

    def remove(self, uri: str) -> None:
        """Removes an object, if it is there."""
        try:
            self._rest.call("DELETE", _object(uri))
        except ApiError as error:
            if error.status != 404:
                raise

    def location(self, bucket: str) -> str:
        """Where a bucket is: a region, or a place of several, such as eu; in lower case."""
        return str(self._rest.call("GET", f"{HOST}/storage/v1/b/{bucket}").get("location")).lower()

    def permissions(self, bucket: str, wanted: tuple[str, ...]) -> set[str]:
        """Those of the wanted permissions on a bucket that the caller has."""
        answer = self._rest.call(
            "GET",
            f"{HOST}/storage/v1/b/{bucket}/iam/testPermissions",
            query={"permissions": list(wanted)},
        )
        return set(answer.get("permissions", ()))


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


def _object(uri: str) -> str:
    bucket, name = _parts(uri)
    return f"{HOST}/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
