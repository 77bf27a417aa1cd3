"""Where a value stands in a record: under a key, at the end of a path of keys, or under several.

A key is any text, taken as it is: ``user.zip`` is one key, and the path ``[user, zip]`` is another
value, which stands in an object under ``user``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.spec.strict_model import StrictModel

KeyPart = Annotated[str, Field(min_length=1)]
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_MOST_COLUMNS = 100_000


class PathKey(StrictModel):
    """A value inside of objects: JSON's, structs of Parquet and BigQuery, records of Avro."""

    path: tuple[KeyPart, ...] = Field(
        min_length=1, description="The keys of the objects, from the outside."
    )

    def __str__(self) -> str:
        return f"[{', '.join(self.path)}]"


@dataclass(frozen=True)
class ColumnsKey:
    """Values that stand each under a key of its own.

    Attributes:
      names: the keys, in the order of the values.
    """

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.names[0]} to {self.names[-1]}" if len(self.names) > 1 else self.names[0]


def plain_key(key: str | PathKey) -> str | PathKey:
    """The same key; a path of one is that one."""
    return key.path[0] if isinstance(key, PathKey) and len(key.path) == 1 else key


RecordKey = Annotated[str | PathKey, AfterValidator(plain_key)]
"""Of one value: a key, or ``{path: [...]}``."""

Key = str | PathKey | ColumnsKey
"""Where the value of a field stands."""


def outer_keys(key: Key) -> tuple[str, ...]:
    """The keys of the record itself that hold the value, or what the value is inside of."""
    if isinstance(key, ColumnsKey):
        return key.names
    return (key.path[0],) if isinstance(key, PathKey) else (key,)


def written_name(key: RecordKey) -> str:
    """The name under which a prediction repeats a value: that of a path has dots."""
    return ".".join(key.path) if isinstance(key, PathKey) else key


def written_key(key: Key) -> str:
    """A key as the ensemble file has it."""
    if isinstance(key, ColumnsKey):
        return ", ".join(f"'{name}'" for name in key.names[:4]) + (", ..." * (len(key.names) > 4))
    return f"{{path: {key}}}" if isinstance(key, PathKey) else f"'{key}'"


def column_names(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    """The names that some patterns stand for, in their order.

    ``pixel{0..3}`` stands for four names, ``{00..11}`` for numbers of two digits, as in a shell; of
    two ranges in one name the last varies first. All else is text.

    Raises:
      ValueError: a name comes twice, or there are more than anybody means.
    """
    listed = (patterns,) if isinstance(patterns, str) else patterns
    names: dict[str, None] = {}
    for pattern in listed:
        for name in _expanded(pattern):
            if name in names:
                raise ValueError(f"found the name '{name}' twice, expected a column for each value")
            names[name] = None
            if len(names) > _MOST_COLUMNS:
                raise ValueError(f"found more than {_MOST_COLUMNS:,} names")
    if not names or "" in names:
        raise ValueError("found no name, expected one for each value, such as `pixel{0..783}`")
    return tuple(names)


def _expanded(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    padded = any(text.startswith("0") and len(text) > 1 for text in (first, last))
    width = max(len(first), len(last)) if padded else 0
    step = 1 if int(first) <= int(last) else -1
    before, behind = pattern[: found.start()], pattern[found.end() :]
    for number in range(int(first), int(last) + step, step):
        yield from _expanded(f"{before}{number:0{width}}{behind}")
