"""Columns that are the values of one vector, each under a numbered name: ``pixel0`` and so on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.formats.fields import is_missing
from pipeline.formats.record_sample import Seen, ValueKind
from pipeline.spec.record.keys import ColumnsKey, RecordKey, column_names

_NUMBER = re.compile(r"[0-9]+")


def pattern_of(names: Sequence[str]) -> str | None:
    """The pattern that stands for some names, such as ``pixel{0..783}``; None if none does.

    Args:
      names: two or more, in the order of the values.
    """
    texts = [_NUMBER.split(name) for name in names]
    if any(text != texts[0] for text in texts):
        return None
    pattern = texts[0][0]
    numbers = zip(*map(_NUMBER.findall, names), strict=True)
    for of_place, behind in zip(numbers, texts[0][1:], strict=True):
        varies = len(set(of_place)) > 1
        pattern += (f"{{{of_place[0]}..{of_place[-1]}}}" if varies else of_place[0]) + behind
    try:
        return pattern if column_names(pattern) == tuple(names) else None
    except ValueError:
        return None


def families(keys: Iterable[RecordKey]) -> list[ColumnsKey]:
    """The vectors that numbered names among some keys stand for."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        if isinstance(key, str) and _NUMBER.search(key):
            alike[_NUMBER.sub("#", key)].append(key)
    ordered = (sorted(names, key=_numbers) for names in alike.values() if len(names) > 1)
    return [ColumnsKey(tuple(names)) for names in ordered if pattern_of(names)]


def _numbers(name: str) -> list[tuple[int, str]]:
    """What sorts as the numbers in a name, of any length."""
    digits = [text.lstrip("0") for text in _NUMBER.findall(name)]
    return [(len(text), text) for text in digits]


def seen_together(
    key: ColumnsKey, seen: Mapping[RecordKey, Seen], records: Sequence[Mapping[str, Any]]
) -> Seen | None:
    """What the values of several keys are as one vector; None if they are none of numbers.

    Args:
      key: a family.
      seen: each key by itself.
      records: those that were looked at.
    """
    members = [seen[name] for name in key.names]
    kinds = {values.kind for values in members}
    if any(values.shape for values in members) or not kinds <= {"integer", "number"}:
        return None
    kind: ValueKind = "number" if "number" in kinds else "integer"
    lacks = [sum(is_missing(record.get(name)) for name in key.names) for record in records]
    count = len(key.names)
    return Seen(
        kind,
        (count,),
        sum(missing < count for missing in lacks),
        distinct=False,
        incomplete=sum(0 < missing < count for missing in lacks),
    )
