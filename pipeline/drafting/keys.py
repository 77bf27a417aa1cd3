"""What the fields of a draft are called: as the keys of the records, where a field can be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pipeline.backends.tables.names import (
    Feature,
    column_name,
    features_by_itself,
    features_of_field,
)
from pipeline.drafting.draft import is_name, last_part
from pipeline.formats.record_sample import Seen
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey

_NUMBERED = re.compile(r"[\W_]*[0-9]+")


def fields_of(keys: Iterable[Key]) -> dict[str, Key]:
    """Field -> key, for some keys of the records; all fields differ.

    A key that no field can be called, such as `sepal length (cm)`, gives one that is alike. A value
    inside of objects is called as it is in the innermost, if nothing else is called so.
    """
    keys = list(keys)
    taken = {key for key in keys if isinstance(key, str) and is_name(key)}
    last = Counter(last_part(key) for key in keys if not isinstance(key, ColumnsKey))
    fields: dict[str, Key] = {}
    for key in keys:
        called = _called(key, last)
        plain = unique = called if is_name(called) else column_name(called)
        number = 2
        while unique != key and unique in taken:
            unique, number = f"{plain}_{number}", number + 1
        taken.add(unique)
        fields[unique] = key
    return fields


def _called(key: Key, last: Mapping[str, int]) -> str:
    if isinstance(key, ColumnsKey):
        return _NUMBERED.sub("", key.names[0]) or "values"
    if isinstance(key, PathKey):
        return key.path[-1] if last[key.path[-1]] == 1 else "_".join(key.path)
    return key


def features_by_field(
    seen: Mapping[str, Seen], key_of: Mapping[str, Key]
) -> dict[str, tuple[Feature, ...]]:
    """Field -> its features, which have the names of field and key.

    Args:
      seen: field -> its values.
      key_of: field -> key.
    """
    return {
        field: features_by_itself(field, values.shape)
        if isinstance(key := key_of.get(field, field), ColumnsKey) and not values.shape
        else features_of_field(field, key, values.shape)
        for field, values in seen.items()
    }
