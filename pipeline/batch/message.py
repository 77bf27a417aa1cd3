"""A message on its way out to a topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
