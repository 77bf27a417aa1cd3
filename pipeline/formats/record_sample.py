"""What the first records of an input look like: kind and shape of the value under each key.

Values are as the decoders of the formats deliver them: plain data, in CSV all text. What is inside
of objects is under a path.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from pipeline.batch.exact_number import ExactNumber
from pipeline.batch.tensors import FLOATS, INTEGERS, Shape
from pipeline.formats.fields import is_missing
from pipeline.spec.record import DTypeName
from pipeline.spec.record.keys import PathKey

ValueKind = Literal["bool", "integer", "number", "text", "bytes", "mixed"]

NATURAL: dict[ValueKind, DTypeName] = {
    "bool": "bool",
    "integer": "int64",
    "number": "float32",
    "text": "string",
    "bytes": "bytes",
}
"""The dtype of a field whose values nobody reads otherwise."""

MISSING_WORDS = frozenset(
    ("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "Null", "null", "None", "?", "-", ".")
)
"""Words that programs write into a column of numbers where they have none."""
# Digits behind a 0 are mostly those of a code, which a number would lose.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[+-]?(?=.*[.eE])([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPREAD = re.compile(r"(.+?)(?:_(\d{1,9})|\.(\d{1,9})|\[(\d{1,9})\])")
_MOST_DIGITS = 640
"""More than any number has, and as few as Python may be told to read at most."""


@dataclass(frozen=True)
class Seen:
    """The values under one key, over all records looked at.

    Attributes:
      kind: what they are, inside all lists; "mixed" where that differs or is nothing of the sort.
      shape: lengths of nested lists; None where the length differs.
      records: in how many records the key has a value.
      distinct: no two records have the same value.
      incomplete: in how many of them a list has null for a value.
    """

    kind: ValueKind
    shape: Shape
    records: int
    distinct: bool
    incomplete: int = 0

    def can_be(self, dtype: str) -> bool:
        """Whether a field of this dtype can be declared for the values."""
        if dtype in FLOATS:
            return self.kind in ("integer", "number")
        if dtype in INTEGERS:
            return self.kind == "integer"
        return dtype == {"bool": "bool", "text": "string", "bytes": "bytes"}.get(self.kind)


def values_by_key(records: Sequence[Mapping[str, Any]]) -> dict[str | PathKey, Seen]:
    """Key -> its values, for every key of some records, in the order in which keys come.

    Objects are looked into, unless other records have something else in their place.

    Args:
      records: at least one.
    """
    values: defaultdict[_Path, list[Any]] = defaultdict(list)
    for record in records:
        for path, value in _leaves(record, ()):
            of_key = values[path]  # a null has a place, too
            if not is_missing(value):
                of_key.append(value)
    objects = {path[:depth] for path in values for depth in range(1, len(path))}
    mixed = {path for path in objects if values.get(path)}
    seen: dict[str | PathKey, Seen] = {}
    for path, found in values.items():
        if found and not any(path[:depth] in mixed for depth in range(1, len(path))):
            whole = replace(_seen(found), kind="mixed") if path in mixed else _seen(found)
            seen[path[0] if len(path) == 1 else PathKey(path=path)] = whole
    return seen


_Path = tuple[str, ...]


def _leaves(record: Mapping[str, Any], before: _Path) -> Iterator[tuple[_Path, Any]]:
    """Path -> value, for all that is no object or an empty one."""
    for key, value in record.items():
        if key and isinstance(value, Mapping) and value:
            yield from _leaves(value, (*before, key))
        elif key or not before:  # no path has an empty part
            yield (*before, key), value


def missing_words(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The words that stand for missing numbers in CSV cells, such as NA.

    Args:
      records: as `from_cells` makes them.
    """
    found: set[str] = set()
    for key in {key for record in records for key in record}:
        values = [record[key] for record in records if not is_missing(record.get(key))]
        texts = {value for value in values if isinstance(value, str)}
        if len(texts) < len(set(map(str, values))) and {t.strip() for t in texts} <= MISSING_WORDS:
            found |= {text.strip() for text in texts}
    return tuple(sorted(found))


def without_words(
    records: Sequence[Mapping[str, Any]], words: Collection[str]
) -> tuple[dict[str, Any], ...]:
    """The records with null for the cells that hold one of the words."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, str) and value.strip() in words else value

    return tuple({key: plain(value) for key, value in record.items()} for record in records)


def from_cells(record: Mapping[str, str], decimal: str = ".") -> dict[str, Any]:
    """A CSV row as its cells would be in JSON; columns ``x_0``, ``x_1``... as one list ``x``.

    Args:
      record: name of a column -> its cell.
      decimal: what stands before the fraction of a number.
    """
    numbered: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for name in record:
        if match := _SPREAD.fullmatch(name):
            number = next(int(digits) for digits in match.groups()[1:] if digits)
            numbered[match[1]][number] = name
    whole = {
        key: [parts[i] for i in range(len(parts))]
        for key, parts in numbered.items()
        if len(parts) > 1 and set(parts) == set(range(len(parts))) and key not in record
    }
    spread = {name for names in whole.values() for name in names}
    values = {n: from_cell(text, decimal) for n, text in record.items() if n not in spread}
    for key, names in whole.items():
        values[key] = [from_cell(record[name], decimal) for name in names]
    return values


def from_cell(text: str, decimal: str = ".") -> Any:
    """A text as JSON would have it, if a field of that type reads it so; else the text.

    Args:
      text: of a cell of CSV, or of a folder's name.
      decimal: what stands before the fraction of a number.
    """
    stripped = text.strip()
    if not stripped:
        return None
    if stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    if stripped.startswith("["):
        try:
            return orjson.loads(stripped)
        except orjson.JSONDecodeError:
            return text
    if _INTEGER.fullmatch(stripped):
        return int(stripped) if len(stripped) <= _MOST_DIGITS else text
    if decimal != "." and "." in stripped:
        return text  # between thousands, or before a fraction after all: no field takes it
    point = stripped.replace(decimal, ".")
    return float(point) if _FRACTION.fullmatch(point) else text


def _seen(values: Sequence[Any]) -> Seen:
    kinds: set[ValueKind] = set()
    shapes = {_walk(value, kinds) for value in values}
    kind: ValueKind = "number" if kinds == {"integer", "number"} else "mixed"
    if len(kinds) == 1:
        (kind,) = kinds
    if len({len(shape) for shape in shapes}) > 1:
        return Seen("mixed", (), len(values), distinct=False)
    shape = tuple(
        lengths[0] if len(set(lengths)) == 1 else None for lengths in zip(*shapes, strict=True)
    )
    return Seen(
        kind,
        shape,
        len(values),
        distinct=len({str(value) for value in values}) == len(values),
        incomplete=sum(map(_has_null, values)),
    )


def _has_null(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, list) and any(map(_has_null, value)))


def _walk(value: Any, kinds: set[ValueKind]) -> Shape:
    """The shape of a value; what it holds is added to `kinds`."""
    if isinstance(value, list):
        inner = {_walk(part, kinds) for part in value}
        if len(inner) > 1 and len({len(shape) for shape in inner}) > 1:
            kinds.add("mixed")
            return (len(value),)
        lengths = [set(axis) for axis in zip(*inner, strict=True)] if inner else []
        return (len(value), *(axis.pop() if len(axis) == 1 else None for axis in lengths))
    if not is_missing(value):
        kinds.add(_kind(value))
    return ()


def _kind(value: Any) -> ValueKind:
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return "bytes"
        return "text"
    named: Iterable[tuple[type, ValueKind]] = (
        (bool, "bool"),
        (int, "integer"),
        (float, "number"),
        (ExactNumber, "number"),
        (str, "text"),
    )
    return next((kind for cls, kind in named if isinstance(value, cls)), "mixed")
