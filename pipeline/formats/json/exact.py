"""What orjson does not say of an object: a key that comes twice, an integer beyond 64 bits.

Of two values of one key it gives the last, and of such an integer a float. Looking for keys that
come twice has to cost next to nothing, since hardly any object has one: in a JSON text each key
ends with a quote and a colon, so where a text has no more of these than its objects have keys,
none comes twice. Only other texts are parsed once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

_KEY_END = re.compile(rb'"\s*:')
_QUOTE, _COLON = b'":'
_CACHED_BYTES = 1 << 15
_EXACT = float(2**63)


def doubled_key(
    payloads: Sequence[bytes], objects: Sequence[dict[str, Any]], keys: Collection[str]
) -> str | None:
    """A key that some object has twice, of those that are read or inside of their values.

    Args:
      payloads: JSON objects.
      objects: what orjson made of each.
      keys: those that are read.
    """
    if _most_keys(b"".join(payloads)) == sum(map(len, objects)):
        return None
    for payload, found in zip(payloads, objects, strict=True):
        if len(_KEY_END.findall(payload)) != _count(found):
            twice = _twice_in(json.loads(payload, object_pairs_hook=_Pairs), keys)
            if twice is not None:
                return twice
    return None


def is_exact(value: Any) -> bool:
    """Whether a value that orjson made is surely what the text says."""
    if isinstance(value, float):
        return -_EXACT < value < _EXACT
    if isinstance(value, dict):
        return all(map(is_exact, value.values()))
    return not isinstance(value, list) or all(map(is_exact, value))


def exact_object(payload: bytes) -> dict[str, Any]:
    """A JSON object whose integers are as large as they are."""
    found: dict[str, Any] = json.loads(payload)
    return found


class _Pairs(list[tuple[str, Any]]):
    """An object as its keys and values, as they come."""


def _most_keys(text: bytes) -> int:
    """How many keys the objects in a JSON text have at most: the places where one may end.

    These are colons behind a quote, or behind a blank or ``!``, which are cheaper to count along.
    """
    data = np.frombuffer(text, np.uint8)
    count = 0
    is_colon, may_end = np.empty((2, _CACHED_BYTES), bool)
    for start in range(1, len(data), _CACHED_BYTES):
        part = data[start - 1 : start + _CACHED_BYTES]
        size = len(part) - 1
        np.equal(part[1:], _COLON, out=is_colon[:size])
        np.less_equal(part[:-1], _QUOTE, out=may_end[:size])
        count += int(np.count_nonzero(is_colon[:size] & may_end[:size]))
    return count


def _count(value: Any) -> int:
    """How many keys there are in a value, at any depth."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 0


def _twice_in(found: _Pairs, keys: Collection[str]) -> str | None:
    seen: set[str] = set()
    for key, value in found:
        if key in keys:
            twice = key if key in seen else _twice_inside(value)
            if twice is not None:
                return twice
            seen.add(key)
    return None


def _twice_inside(value: Any) -> str | None:
    if isinstance(value, _Pairs):
        return _twice_in(value, {key for key, _ in value})
    if isinstance(value, list):
        return next((twice for part in value if (twice := _twice_inside(part))), None)
    return None
