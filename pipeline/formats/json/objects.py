"""One JSON object out of the bytes of a record, or what they are instead.

orjson reads what fits into floats and integers of 64 bits. JSON has no such bounds, so what orjson
refuses for a number that is too large, and an integer of which it makes a float, is read once more.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from pipeline.batch.exact_number import ExactNumber, exact_json, exact_number
from pipeline.errors import RecordError
from pipeline.formats import looks

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_MOST_DIGITS = 4300
"""Of an integer that Python reads."""
_NO_NUMBER = re.compile(r"[-+]?(nan|inf|infinity)", re.IGNORECASE)
_OF_PYTHON = re.compile(r"None|True|False|'.*")
_OTHER_NUMBER = re.compile(r"[-+.]*[0-9][-+.0-9a-fA-FxX_]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_MOST_SHOWN = 40
_NEXT_OBJECT = re.compile(r"\}\s*\{")
_SIGNS = frozenset(',:[]{}" \t\r\n')


def parse_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload.

    Floats are those that are nearest, where there is no number beyond them and no integer beyond 64
    bits; else all numbers are as they are written.

    Raises:
      RecordError: it is empty, not UTF-8, not JSON or not an object.
    """
    if not payload.strip():
        raise RecordError("empty", "the record is empty, expected a JSON object")
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        value = _with_large_numbers(payload, error)
    else:
        if _LONG_INTEGER.search(payload):
            value = exact_json(payload)
    if not isinstance(value, dict):
        found = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}
        raise RecordError(
            "not_an_object", f"found {found.get(type(value), 'a number')}, expected a JSON object"
        )
    return value


def _with_large_numbers(payload: bytes, error: orjson.JSONDecodeError) -> Any:
    """The value of a JSON text, some number of which no float can hold.

    Raises:
      RecordError: it is not UTF-8 or not JSON.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as bad:
        where = f"byte {payload[bad.start]:#04x} at position {bad.start}"
        raise RecordError("not_utf8", f"{where} is not UTF-8{_other(payload)}") from error
    try:
        value = json.loads(
            text, parse_float=exact_number, parse_int=_integer, parse_constant=_refuse
        )
        # Python's parser takes half a surrogate pair for text, which this does not.
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError):
        raise RecordError("not_json", f"not JSON: {error}{_remedy(text, error.pos)}") from error
    return value


def _integer(digits: str) -> int | float | ExactNumber:
    return int(digits) if len(digits) <= _MOST_DIGITS else exact_number(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _remedy(text: str, place: int) -> str:
    """What to write instead, where what is not JSON is known by its look.

    Args:
      text: that is not JSON.
      place: of the first character that cannot be.
    """
    word = _word_at(text, place)
    if _NO_NUMBER.fullmatch(word):
        return f"; found {word}: JSON has no NaN and no Infinity, what is missing is null"
    if _OF_PYTHON.fullmatch(word):
        return f"; found {word}: it looks like text of Python, `json.dumps` writes JSON"
    if _OTHER_NUMBER.fullmatch(word) and not _NUMBER.fullmatch(word):
        return f"; found {word}: numbers of JSON are written like -1, 0.5 and 1e5"
    if _NEXT_OBJECT.search(text):
        return (
            "; it looks like several objects in one line or message, expected one: `jq -c .` "
            "writes one a line"
        )
    if looks.is_part_of_array(text.encode()):
        return f"; {looks.PART_OF_ARRAY}"
    return ""


def _word_at(text: str, place: int) -> str:
    """What stands around a character, up to what separates the values of JSON."""
    begin = end = place
    first, last = max(place - _MOST_SHOWN, 0), min(place + _MOST_SHOWN, len(text))
    while begin > first and text[begin - 1] not in _SIGNS:
        begin -= 1
    while end < last and text[end] not in _SIGNS:
        end += 1
    return text[begin : min(end, begin + _MOST_SHOWN)]


def _other(payload: bytes) -> str:
    """What bytes that are no text are, where that is known by their look."""
    if kind := looks.compression(payload, "jsonl"):
        return f"; it looks compressed ({kind}), expected a JSON object as it is"
    if payload.startswith(_UTF_16):
        return "; it looks like UTF-16, expected UTF-8"
    return ""
