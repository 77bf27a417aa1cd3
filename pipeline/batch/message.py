"""A message on its way out to a topic, and what Pub/Sub takes of one.

Pub/Sub refuses a message that is too large, and so would refuse it for ever. The limits:
https://cloud.google.com/pubsub/quotas#resource_limits
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_ATTRIBUTES = 100
_KEY_BYTES = 256
_VALUE_BYTES = 1024
_RESERVED = "goog"

MOST_DATA_BYTES = 10_000_000 - _ATTRIBUTES * (_KEY_BYTES + _VALUE_BYTES) - 2048
"""Of a payload: with as many attributes as there may be and an ordering key, 10 MB."""


@dataclass(frozen=True)
class Message:
    """One message to publish.

    Attributes:
      data: the payload.
      attributes: text to text.
      ordering_key: empty for none.
    """

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""


def acceptable_attributes(own: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """The attributes that Pub/Sub takes: `own` first, then as many of `others` as there is room.

    What is too long is left out, and so are keys that are empty or begin with ``goog``, which are
    Pub/Sub's own.

    Args:
      own: win over `others` of the same key.
      others: those of the record.
    """
    kept: dict[str, str] = {}
    for key, value in {**own, **{k: v for k, v in others.items() if k not in own}}.items():
        if len(kept) == _ATTRIBUTES:
            break
        if not key or key.startswith(_RESERVED):
            continue
        if _bytes(key) <= _KEY_BYTES and _bytes(value) <= _VALUE_BYTES:
            kept[key] = value
    return kept


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
