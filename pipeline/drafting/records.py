"""The record of a draft, from the first records of an input, and what of it the models read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pipeline.backends.tables.names import Places, are_made_up
from pipeline.batch.tensors import TensorSpec
from pipeline.drafting import chains, features, gaps, inputs, pictures, raw, sounds, tables
from pipeline.drafting.draft import FILL_IN, GUESS, CsvDraft, Draft, ModelDraft, id_field
from pipeline.drafting.keys import fields_of
from pipeline.drafting.spread_columns import families, seen_together
from pipeline.formats import record_sample
from pipeline.formats.csv.format import CSV
from pipeline.formats.record_sample import Seen
from pipeline.formats.tfrecord.format import TFRECORD
from pipeline.launch.first_records import FirstRecords, problems_of, rejects_of
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import ColumnsKey, Key, RecordKey

_MANY = 8
"""So many numbered columns that a model names are rather one vector than a field each."""


def drafted(name: str, models: list[ModelDraft], records: FirstRecords | None) -> Draft:
    """A draft whose models are bound.

    Args:
      name: of the ensemble.
      models: not bound yet.
      records: what the input begins with; None where there is none.
    """
    draft = Draft(name, models)
    if records is None:
        _bind_alone(draft)
        return draft
    draft.records_from = records.path
    if records.are_files_of:
        binders = {"image": pictures.bind, "audio": sounds.bind}
        binders[records.are_files_of](draft)
    elif records.format == TFRECORD.name and any(model.takes_examples for model in models):
        raw.bind(draft)
    else:
        _bind_records(draft, records)
    return draft


def _bind_alone(draft: Draft) -> None:
    """Binds models by what they say of themselves."""
    if pictures.take_pictures(_tensors(draft.models)):
        pictures.bind(draft)
    elif sounds.take_sounds(draft.models):
        sounds.bind(draft)
    elif all(model.takes_examples for model in draft.models):
        raw.bind(draft)
    else:
        features.bind(draft)
        chains.bind(draft)
        inputs.bind(draft)


def _tensors(models: Iterable[ModelDraft]) -> list[TensorSpec]:
    return [tensor for model in models for tensor in model.inputs]


def _bind_records(draft: Draft, records: FirstRecords) -> None:
    sample: Sequence[Mapping[str, Any]] = records.records
    words: tuple[str, ...] = ()
    if records.format == CSV.name:
        words = record_sample.missing_words(sample)
        sample = record_sample.without_words(sample, words)
    seen = record_sample.values_by_key(sample)
    if records.format == CSV.name:
        seen = {key: _of_cells(values) for key, values in seen.items()}
    draft.id = id_field(seen)
    single: list[RecordKey] = [key for key in seen if draft.id is None or key != draft.id[0]]
    alone: dict[Any, Seen] = {key: seen[key] for key in single}
    # Where a model names its features, those that come first are preferred.
    found: dict[Key, Seen] = {**_vectors(alone, sample, _tensors(draft.models)), **alone}
    draft.key_of = fields_of(found)
    by_field = {field: found[key] for field, key in draft.key_of.items()}
    _bind(draft, by_field, records)
    gaps.bind(draft, by_field, len(sample))
    texts = any(f.keeps_missing and f.dtype == "string" for f in draft.fields.values())
    draft.csv = _csv(records, ("", *words) if texts and records.csv is not None else words)
    read = {column for field in draft.fields for column in _columns(draft.key_of.get(field, field))}
    draft.spare = tuple(key for key in single if key not in read)
    draft.record_notes = [*_sorted(draft, single), *_misread(draft, by_field, records)]


def _bind(draft: Draft, by_field: dict[str, Seen], records: FirstRecords) -> None:
    features.bind(draft, by_field)
    tables.bind(draft, by_field)
    chains.bind(draft, by_field)
    inputs.bind(draft, by_field, flat=records.flat)


def _of_cells(values: Seen) -> Seen:
    """What cells hold that look like numbers here and like something else there: text."""
    is_text = values.kind == "mixed" and not values.shape
    return replace(values, kind="text") if is_text else values


def _vectors(
    seen: Mapping[RecordKey, Seen], sample: Sequence[Mapping[str, Any]], tensors: list[TensorSpec]
) -> dict[Key, Seen]:
    """The vectors that numbered columns stand for, unless a model wants some of them otherwise."""
    found: dict[Key, Seen] = {}
    for key in families(seen):
        values = seen_together(key, seen, sample)
        if values is not None and all(_leaves_whole(tensor, key) for tensor in tensors):
            found[key] = values
    return found


def _leaves_whole(tensor: TensorSpec, key: ColumnsKey) -> bool:
    """Whether a tensor takes none of some columns by name, or many, one after the other."""
    names = tensor.features or (tensor.name,)
    places = Places(names)
    found = [tuple(places.called(name)) for name in key.names]
    if not any(found) or are_made_up(names):
        return True
    begin = found[0][0] if found[0] else 0
    return len(found) >= _MANY and found == [(begin + i,) for i in range(len(found))]


def _columns(key: Key) -> tuple[RecordKey, ...]:
    return key.names if isinstance(key, ColumnsKey) else (key,)


def _csv(records: FirstRecords, missing: Sequence[str]) -> CsvDraft | None:
    """What the ensemble file has to say of a CSV file; None for nothing."""
    if records.csv is None:
        return None
    keys = records.csv.model_dump(mode="json", exclude_defaults=True)
    told = ["how the file looks"] if keys else []
    if "decimal" in keys:
        told.append("a comma stands before fractions, not between thousands")
    if missing:
        keys["missing"] = list(missing)
        told.append("cells that hold no value, as pandas reads them")
    if not keys:
        return None
    if "header" in keys:
        told.append("line 1 does not name the columns as they are, so all lines are records")
    return CsvDraft(keys, GUESS + "; ".join(told))


def _sorted(draft: Draft, keys: Sequence[RecordKey]) -> Iterator[str]:
    """Which vectors have their columns in another order than the records.

    Args:
      draft: with its fields.
      keys: in the order of the records.
    """
    place = {key: i for i, key in enumerate(keys)}
    for field in draft.fields:
        key = draft.key_of.get(field, field)
        names = key.names if isinstance(key, ColumnsKey) else ()
        for before, name in pairwise(names):
            if place[name] < place[before]:
                yield (
                    f"{GUESS}the values of `{field}` are in the order of the numbers; in the "
                    f"records, '{name}' comes before '{before}'"
                )
                break


def _misread(draft: Draft, seen: Mapping[str, Seen], records: FirstRecords) -> list[str]:
    """What the drafted record makes of the records that it was drafted from.

    Fields that wait for somebody to say what they are do not count, nor do records that lack a
    value which a model needs: notes say so.
    """
    data = draft.as_data()["record"]
    sure = {
        name: field
        for name, field in data["fields"].items()
        if name in seen and (draft.fields[name].keeps_missing or not draft.fields[name].note)
    }
    if not sure:
        return []
    spec = RecordSpec.model_validate({**data, "fields": sure})
    if problems := problems_of(records, spec):
        return [f"{FILL_IN}{problem}" for problem in problems]
    return list(filter(None, [rejects_of(records, spec)]))
