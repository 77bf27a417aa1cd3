"""Values of a record that is a mapping, by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.batch.exact_number import ExactNumber
from pipeline.errors import RecordError
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey

Record = Mapping[Any, Any]
"""Key -> value. A value that a format has found by itself stands under its whole key."""


def value_at(record: Record, key: Key, *, optional: bool = False) -> Any:
    """The value under a key, at the end of a path, or the list of those under several keys.

    Args:
      record: to look into.
      key: where.
      optional: whether it may lack the value, which is None then.

    Raises:
      RecordError: the record lacks it, or something on the path is no object.
    """
    if key in record:
        return record[key]
    if isinstance(key, ColumnsKey):
        return [value_at(record, name, optional=optional) for name in key.names]
    if isinstance(key, PathKey):
        return _inside(record, key, optional)
    if optional:
        return None
    raise _missing(key, "", record)


def _inside(record: Record, key: PathKey, optional: bool) -> Any:
    found: Any = record
    for depth, part in enumerate(key.path):
        if found is None:  # a null on the way has nulls inside
            return None
        if not isinstance(found, Mapping):
            what = f"found {kind_of(found)} at {'.'.join(key.path[:depth])}, expected an object"
            raise RecordError("wrong_type", f"field '{key}': {what}")
        if part not in found:
            if optional:
                return None
            raise _missing(key, ".".join(key.path[:depth]), found)
        found = found[part]
    return found


def _missing(key: str | PathKey, where: str, record: Record) -> RecordError:
    keys = [name for name in record if isinstance(name, str)]
    has = ", ".join(keys[:8]) or "none"
    path = None if where else _path_to(str(key), record)
    hint = f"; `path: [{', '.join(path)}]` reads the one inside" if path else ""
    return RecordError(
        "missing_field", f"field '{key}' is missing; {where or 'the record'} has {has}{hint}"
    )


def _path_to(key: str, record: Record, depth: int = 3) -> tuple[str, ...] | None:
    """The way to a key inside of a record's objects, as envelopes have them; None if none is met.

    Args:
      key: to look for.
      record: where; the key itself is not there.
      depth: of how many objects in each other.
    """
    inner = {n: v for n, v in record.items() if isinstance(n, str) and isinstance(v, Mapping)}
    for name, value in inner.items():
        if key in value:
            return name, key
    if depth > 1:
        for name, value in inner.items():
            if path := _path_to(key, value, depth - 1):
                return name, *path
    return None


def kind_of(value: Any) -> str:
    """How people call the type of a value, with the value where it is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | ExactNumber):
        text = str(value)
        return f"the number {text}" if len(text) <= 40 else f"a number of {len(text)} characters"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 40 else f"text of {len(value)} characters"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return f"a value of type {type(value).__name__}"
