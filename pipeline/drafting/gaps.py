"""Fields that some of the records lack: rows all the same, where every model that reads them can.

Whether a model really takes missing values, `check` finds out by trying.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pipeline.batch.tensors import FLOATS
from pipeline.drafting.draft import GUESS, Draft
from pipeline.formats.record_sample import Seen
from pipeline.spec.model import ModelSpec

_TAKE_MISSING = frozenset(
    framework
    for model in get_args(ModelSpec)
    for framework in get_args(model.model_fields["framework"].annotation)
    if model.takes_missing
)


def bind(draft: Draft, seen: Mapping[str, Seen], records: int) -> None:
    """Declares which fields may lack values.

    Args:
      draft: the draft, whose models are bound.
      seen: fields that the records have.
      records: how many were looked at.
    """
    for name, declared in draft.fields.items():
        values = seen.get(name)
        if values is None or declared.note or None in declared.shape:
            continue
        lacking_it = records - values.records + values.incomplete
        if not lacking_it or (values.incomplete and declared.dtype not in FLOATS):
            continue
        lacking = f"{lacking_it} of the first {records} records lack it"
        lacking += " or a part of it" * bool(values.incomplete)
        unable = sorted(_readers(draft, name) - _TAKE_MISSING)
        if unable:
            declared.note = (
                f"{GUESS}{lacking} and become dead letters, as {' and '.join(unable)} cannot have "
                "missing values; `missing: keep` and a prepare step `op: fill` give them one"
            )
        else:
            declared.keeps_missing = True
            declared.note = f"{GUESS}{lacking}; without `missing: keep` they become dead letters"


def _readers(draft: Draft, field: str) -> set[str]:
    """The frameworks of the models that read a field, also through prepare steps."""
    columns = {field}
    for step in draft.prepare:
        of = step.keys.get("of", ())
        if columns & ({of} if isinstance(of, str) else set(of)):
            columns.add(str(step.keys["column"]))
    return {
        model.framework
        for model in draft.models
        if any(columns & set(bound.columns) for bound in model.bound.values())
    }
