"""Bytes as text: base64 (RFC 4648), in the spellings in which it is sent.

One rule for every format that carries bytes as text. What could be meant in two ways is refused.
"""

from __future__ import annotations

import binascii
from urllib.parse import unquote


def from_base64(text: str) -> bytes:
    """The bytes that a text stands for.

    It may use ``-_`` for ``+/``, leave the padding out, be broken into lines, or be a URI that
    begins with ``data:`` and says ``;base64``.

    Raises:
      ValueError: it is no base64: another character, a blank inside a line, both alphabets, or a
        length that no bytes have.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return binascii.a2b_base64(_plain(text), strict_mode=True)


def _plain(text: str) -> str:
    """The same as one line in the first alphabet, with padding."""
    if text[:5].lower() == "data:":
        kind, comma, text = text.partition(",")
        if not comma or not kind.lower().endswith(";base64"):
            raise ValueError("a data: URI without ;base64")
        text = unquote(text)  # of "=", "+" and line ends
    if "\n" in text or "\r" in text:
        first, *others = text.replace("\r", "\n").split("\n")
        text = "".join([first.rstrip(" \t"), *(line.strip(" \t") for line in others)])
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise ValueError("both alphabets, that of + / and that of - _")
        text = text.replace("-", "+").replace("_", "/")
    return text if text.endswith("=") else text + "=" * (-len(text) % 4)
