"""What orjson does not say of an object: a key that comes twice, a number with too many digits.

Of two values of one key it gives the last, and of such a number the next float. Looking for either
has to cost next to nothing, since hardly any object has one. In a JSON text each key ends with a
quote and a colon, so where a text has no more of these than its objects have keys, none comes
twice; and a float that is spelled in the text as orjson would spell it is that number. Only other
texts are parsed once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from pipeline.batch.exact_number import exact_json, exact_number

_KEY_END = re.compile(rb'"\s*:')
_QUOTE, _COLON = b'":'
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_CACHED_BYTES = 1 << 15
_MOST_LOOKED_FOR = 16
"""Of more numbers in an object, each looked for in all of its text, parsing it again is faster."""
_PLAIN = {str, int, bool, type(None)}


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


def with_exact_numbers(
    payloads: Iterable[bytes], objects: Sequence[dict[str, Any]], keys: Collection[str]
) -> Sequence[dict[str, Any]]:
    """The objects, the numbers in the values of some keys as they are written.

    Args:
      payloads: JSON objects.
      objects: what orjson, or another reader that knows only floats, made of each.
      keys: none comes twice in an object.
    """
    unsure = [key for key in keys if not _PLAIN.issuperset(type(o.get(key)) for o in objects)]
    if not unsure:
        return objects
    return [
        _with_exact_numbers(payload, found, unsure)
        for payload, found in zip(payloads, objects, strict=True)
    ]


def _with_exact_numbers(
    payload: bytes, found: dict[str, Any], keys: Iterable[str]
) -> dict[str, Any]:
    unsure = [key for key in keys if _holds_float(found.get(key))]
    if not unsure:
        return found
    text = b"".join(payload.split())  # no blank is inside of a number
    try:
        if len(unsure) > _MOST_LOOKED_FOR:
            raise LookupError
        return found | {key: _as_written(text, key, found[key]) for key in unsure}
    except LookupError:
        exact = exact_json(payload)
        return found | {key: exact[key] for key in unsure if key in exact}


def _holds_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_float, value))
    return isinstance(value, float)


def _as_written(text: bytes, key: str, value: Any) -> Any:
    """The value of a key, as the text of its object has it.

    Args:
      text: of the object, without blanks.
      key: of the object.
      value: its value, with floats for all numbers.

    Raises:
      LookupError: where the value stands, or how it is to be read, takes a look at all of the text.
    """
    name = b"".join(orjson.dumps(key).split()) + b":"
    if b"\\" in text or text.count(name) != 1:  # it may come elsewhere, or in another spelling
        raise LookupError(key)
    begin, spelled = text.index(name) + len(name), b"".join(orjson.dumps(value).split())
    if text.startswith((spelled + b",", spelled + b"}"), begin):
        return value
    number = _NUMBER.match(text, begin)
    if number is None:
        raise LookupError(key)
    digits = number[0].decode()
    return int(digits) if digits.lstrip("-").isdigit() else exact_number(digits)


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
