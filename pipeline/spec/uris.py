"""What a URI is: a local path, an object in a bucket, the URL of a hub, or a Python class.

URLs of hubs are web addresses that stand for a TensorFlow model, not for a stored file.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

CLASS_SCHEME = "python://"
"""The scheme of a Python class that is a model version by itself, without files."""

_FILE_SCHEME = re.compile("file:(//|(?=/))", re.IGNORECASE)
"""With a machine behind two slashes, or with none: Java writes `file:/PATH`."""
_IDLE_PARTS = re.compile(r"/(?:\.?/)+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def split_scheme(uri: str) -> tuple[str, str]:
    """The scheme, with its ``://``, and what follows; a path has no scheme, which is empty."""
    found = _SCHEME.match(uri)
    scheme = found[0] if found else ""
    return scheme, uri[len(scheme) :]


def is_local(uri: str) -> bool:
    """Whether `uri` is a path of this machine."""
    return "://" not in uri


def plain_path(uri: str) -> str:
    """A local path for a ``file://`` URI (RFC 8089); what is no local path as it is.

    A path has one spelling, ``/a/b`` for ``/a//./b``, or two versions could not be told to be one,
    or which is newer. Nothing else is resolved: behind a link, ``..`` leads elsewhere.

    Raises:
      ValueError: it names another machine, or what is no absolute path.
    """
    found = _FILE_SCHEME.match(uri)
    if not found:
        return _IDLE_PARTS.sub("/", uri) if is_local(uri) else uri
    host, slash, below = uri[found.end() :].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise ValueError(f"found '{uri}', which names the machine '{host}', expected file:///PATH")
    path = "/" + unquote(below, errors="surrogateescape")
    if "\0" in path:
        raise ValueError(f"found '{uri}', expected no %00, which no path has")
    return _IDLE_PARTS.sub("/", path)


def plain_paths(text: str) -> tuple[str, ...]:
    """Several URIs, separated by commas, as `plain_path` has each. Raises as that."""
    return tuple(plain_path(uri.strip()) for uri in text.split(",") if uri.strip())


def bucket_of(uri: str) -> str | None:
    """The bucket of a ``gs://`` URI; None for every other."""
    if not uri.startswith("gs://"):
        return None
    return uri.removeprefix("gs://").partition("/")[0]


def is_hub_url(uri: str) -> bool:
    """Whether a model's URI names a module of a hub, such as ``https://tfhub.dev/google/x/2``."""
    return uri.startswith(("https://", "http://"))


def is_class_uri(uri: str) -> bool:
    """Whether a URI names a Python class, not files."""
    return uri.startswith(CLASS_SCHEME)


def climbs(uri: str) -> bool:
    """Whether a URI leads upwards somewhere (``..``), so that its start says nothing.

    Servers decode what is escaped in a URL, and some take a backslash for a slash; object stores do
    neither.
    """
    text = unquote(uri).replace("\\", "/") if is_hub_url(uri) else uri
    return ".." in text.split("/")
