"""URLs of hubs: web addresses that stand for a TensorFlow model, not for a stored file."""

from __future__ import annotations

from urllib.parse import unquote


def is_hub_url(uri: str) -> bool:
    """Whether a model's URI names a module of a hub, such as ``https://tfhub.dev/google/x/2``."""
    return uri.startswith(("https://", "http://"))


def climbs(uri: str) -> bool:
    """Whether a URI leads upwards somewhere (``..``), so that its beginning says nothing.

    Servers decode what is escaped in a URL, and some take a backslash for a slash; object stores do
    neither.
    """
    text = unquote(uri).replace("\\", "/") if is_hub_url(uri) else uri
    return ".." in text.split("/")
