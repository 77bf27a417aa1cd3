"""One GET over http or https, through redirects, by a deadline.

What urllib does by itself would not do: it follows a redirect from https to http and to ftp, reads
the whole body of a redirect, and its time limit begins anew with each byte.
"""

from __future__ import annotations

import http.client
import io
import string
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

_MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)


class LateError(Exception):
    """The deadline is over. It is no OSError, which urllib and tarfile would take for theirs."""


class RefusedAddressError(Exception):
    """The address must not be asked, or leads to one that must not; its text says why."""


@dataclass(frozen=True)
class Deadline:
    """How long bytes are waited for.

    Attributes:
      ends_at: when everything must be here, as `time.monotonic` counts.
      silence_secs: the longest wait for the next byte.
    """

    ends_at: float
    silence_secs: float

    def wait_secs(self) -> float:
        """How long the next byte may be waited for.

        Raises:
          LateError: not at all.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise LateError
        return min(left, self.silence_secs)


def get(url: str, deadline: Deadline, context: Any) -> http.client.HTTPResponse:
    """The answer, whatever its status, at the end of all redirects.

    Args:
      url: an http or https address.
      deadline: holds for the answer's body, too.
      context: the SSLContext; None for Python's own.

    Raises:
      RefusedAddressError: an address is none of http or https, names a user, or leads from https to
        http, or there are too many.
      LateError: the deadline is over.
      OSError, http.client.HTTPException, ValueError: as urllib raises them.
    """
    opener = _opener(deadline, context)
    for _ in range(_MOST_REDIRECTS):
        if "@" in urlsplit(url).netloc:
            raise RefusedAddressError("an address with a user or a password is not asked")
        answer: http.client.HTTPResponse = opener.open(url, timeout=deadline.wait_secs())
        location = answer.headers.get("Location")
        if answer.status not in _REDIRECTS or not location:
            return answer
        answer.close()  # unread: it may have no end
        url = _next(url, location)
    raise RefusedAddressError(f"the hub redirects more than {_MOST_REDIRECTS} times")


def _next(url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
      RefusedAddressError: somewhere that is not followed.
    """
    # As urllib does: headers are read as Latin-1, and servers put spaces and UTF-8 into them.
    target = urljoin(url, quote(location, encoding="iso-8859-1", safe=string.punctuation))
    before, after = urlsplit(url).scheme, urlsplit(target).scheme
    if after not in ("http", "https"):
        raise RefusedAddressError(f"the hub redirects to {after}:, expected http: or https:")
    if before == "https" and after == "http":
        raise RefusedAddressError("the hub redirects from https: to http:, expected https:")
    return target


def _opener(deadline: Deadline, context: Any) -> urllib.request.OpenerDirector:
    """Knows http, https and the proxies of the environment, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(deadline),
        _Https(deadline, context),
    ):
        opener.add_handler(handler)
    return opener


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_timed(http.client.HTTPConnection, self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline, context: Any) -> None:
        super().__init__(context=context)
        self._deadline, self._tls = deadline, context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection = _timed(http.client.HTTPSConnection, self._deadline)
        return self.do_open(connection, req, context=self._tls)


def _timed(kind: type[http.client.HTTPConnection], deadline: Deadline) -> Callable[..., Any]:
    """Makes connections whose answers are read by a deadline."""

    def connect(*place: Any, **options: Any) -> http.client.HTTPConnection:
        connection = kind(*place, **options)
        timed: Any = partial(_TimedResponse, deadline)
        connection.response_class = timed
        return connection

    return connect


class _TimedResponse(http.client.HTTPResponse):
    """Reads status, headers, chunks and trailers by the deadline, as well as the body."""

    def __init__(self, deadline: Deadline, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(deadline, sock, self.fp.detach()))


class _TimedReader(io.RawIOBase):
    """Sets the socket's time limit anew before each read."""

    def __init__(self, deadline: Deadline, sock: Any, raw: io.RawIOBase) -> None:
        super().__init__()
        self._deadline, self._sock, self._raw = deadline, sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.wait_secs())
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            self._deadline.wait_secs()  # raises where it was the deadline
            raise

    def close(self) -> None:
        self._raw.close()
        super().close()
