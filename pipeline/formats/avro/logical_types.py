"""Logical types of Avro that fastavro leaves as bytes: UUIDs in 16 bytes, big decimals, durations.

Source: https://avro.apache.org/docs/1.12.0/specification/#logical-types
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
from fastavro.read import LOGICAL_READERS

_BIG_DECIMAL = fastavro.parse_schema(
    {
        "type": "record",
        "name": "BigDecimal",
        "fields": [{"name": "unscaled", "type": "bytes"}, {"name": "scale", "type": "int"}],
    }
)
_UUID_BYTES, _DURATION_BYTES = 16, 12


@dataclass(frozen=True)
class Duration:
    """A span of time, whose parts do not add up: no month is so many days."""

    months: int
    days: int
    milliseconds: int


def register() -> None:
    """Makes fastavro read them. What is no such value, as its type below says, stays bytes."""
    LOGICAL_READERS["fixed-uuid"] = _uuid
    LOGICAL_READERS["fixed-duration"] = _duration
    LOGICAL_READERS["bytes-big-decimal"] = _big_decimal


def _uuid(data: bytes, *_: Any) -> UUID | bytes:
    return UUID(bytes=data) if len(data) == _UUID_BYTES else data


def _duration(data: bytes, *_: Any) -> Duration | bytes:
    return Duration(*struct.unpack("<III", data)) if len(data) == _DURATION_BYTES else data


def _big_decimal(data: bytes, *_: Any) -> Decimal:
    found: Any = fastavro.schemaless_reader(io.BytesIO(data), _BIG_DECIMAL, None)
    unscaled = int.from_bytes(found["unscaled"], "big", signed=True)
    sign, digits = int(unscaled < 0), tuple(map(int, str(abs(unscaled))))
    return Decimal((sign, digits, -found["scale"]))
