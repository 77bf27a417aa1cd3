"""Calls of Google's REST APIs: the only way by which the first launch reaches a project."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from google.auth.exceptions import GoogleAuthError, TransportError
from requests import RequestException, Response, Session

Json = dict[str, Any]

_TRIES = 5
_TIMEOUT_SECS = 60
_NOBODY, _TOO_MANY = 0, 429
_AGAIN = {_NOBODY, 408, _TOO_MANY, 500, 502, 503, 504}
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SHOWN = 2000


class ApiError(Exception):
    """A call was refused, or nobody answered.

    Attributes:
      status: of HTTP; 0 where nobody answered.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Rest(Protocol):
    """Calls of the REST APIs.

    Attributes:
      is_dry: whether the calls are only told, and nothing is to be waited for.
    """

    is_dry: bool

    def call(
        self,
        method: str,
        url: str,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
    ) -> Json:
        """One call; the JSON of its answer, empty if there is none.

        Args:
          method: GET, POST, PUT or DELETE.
          url: of the service.
          body: JSON to send.
          query: parameters of the URL.
          once: whether not to try again where the first try may have had its effect.

        Raises:
          ApiError: it is refused, or nobody answers.
        """
        ...

    def upload(self, url: str, content: bytes, query: Mapping[str, str]) -> None:
        """Sends bytes. Raises as `call`."""
        ...

    def download(self, url: str) -> bytes:
        """Fetches bytes. Raises as `call`."""
        ...


class Google:
    """See Rest: Google's services, as whoever the Application Default Credentials name.

    Args:
      project: whose quotas the calls take: some services refuse users who name none.
      endpoint: a stand-in for all services: it gets the host as the first part of the path, and
        nobody's credentials.
      sleep: waits before a call is tried again.
    """

    is_dry = False

    def __init__(
        self, project: str, endpoint: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._session = Session() if endpoint else _authorized_session(project)
        self._sleep = sleep

    def call(
        self,
        method: str,
        url: str,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
    ) -> Json:
        """See Rest."""
        response = self._send(method, url, once, json=body, params=query)
        return response.json() if response.content else {}

    def upload(self, url: str, content: bytes, query: Mapping[str, str]) -> None:
        """See Rest."""
        headers = {"Content-Type": "application/octet-stream"}
        self._send("POST", url, False, data=content, params=query, headers=headers)

    def download(self, url: str) -> bytes:
        """See Rest."""
        return self._send("GET", url, False).content

    def _send(self, method: str, url: str, once: bool, **request: Any) -> Response:
        target = url
        if self._endpoint:
            target = url.replace("https://", f"{self._endpoint}/", 1)
        for attempt in range(_TRIES):
            reason, status = "", 0
            try:
                response = self._session.request(method, target, timeout=_TIMEOUT_SECS, **request)
                if response.ok:
                    return response
                reason, status = _reason(response), response.status_code
            except (RequestException, TransportError) as error:
                reason = str(error)
            except GoogleAuthError as error:
                reason, status = f"log in again ({error})", 401
            if status not in ({_TOO_MANY} if once else _AGAIN):
                break
            if attempt < _TRIES - 1:
                self._sleep(2.0**attempt)
        raise ApiError(f"{method} {url}: {status or 'no answer'}: {reason}", status)


class Told:
    """See Rest: prints each call and makes none.

    Args:
      answers: what is answered: the end of a URL -> JSON; else nothing.
      say: prints.
    """

    is_dry = True

    def __init__(self, answers: Mapping[str, Json], say: Callable[[str], None]) -> None:
        self._answers = answers
        self._say = say

    def call(
        self,
        method: str,
        url: str,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
    ) -> Json:
        """See Rest."""
        text = f"?{urlencode(query, doseq=True)}" if query else ""
        shown = f" {json.dumps(body)}"[:_SHOWN] if body else ""
        self._say(f"  {method} {url}{text}{shown}")
        return next((each for end, each in self._answers.items() if url.endswith(end)), {})

    def upload(self, url: str, content: bytes, query: Mapping[str, str]) -> None:
        """See Rest."""
        self._say(f"  POST {url}?{urlencode(query)} ({len(content):,} bytes)")

    def download(self, url: str) -> bytes:
        """See Rest."""
        self._say(f"  GET {url}")
        return b"{}"


def _authorized_session(project: str) -> Session:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE], quota_project_id=project)
    except DefaultCredentialsError as error:
        raise ApiError(
            f"nobody is logged in: run `gcloud auth application-default login` ({error})", 401
        ) from error
    session: Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return session


def _reason(response: Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
