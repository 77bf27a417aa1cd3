"""What the fields of a draft are called: as the keys of the records, where a field can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.backends.tables.names import Feature, column_name, features_of_field
from pipeline.drafting.draft import is_name
from pipeline.formats.record_sample import Seen


def fields_of(keys: Iterable[str]) -> dict[str, str]:
    """Field -> key, for some keys of the records; all fields differ.

    A key that no field can be called, such as `sepal length (cm)`, gives one that is alike.
    """
    keys = list(keys)
    taken = set(filter(is_name, keys))
    fields: dict[str, str] = {}
    for key in keys:
        plain = unique = key if is_name(key) else column_name(key)
        number = 2
        while unique != key and unique in taken:
            unique, number = f"{plain}_{number}", number + 1
        taken.add(unique)
        fields[unique] = key
    return fields


def features_by_field(
    seen: Mapping[str, Seen], key_of: Mapping[str, str]
) -> dict[str, tuple[Feature, ...]]:
    """Field -> its features, which have the names of field and key.

    Args:
      seen: field -> its values.
      key_of: field -> key.
    """
    return {
        field: features_of_field(field, key_of.get(field, field), values.shape)
        for field, values in seen.items()
    }
