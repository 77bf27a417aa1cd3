"""Models whose files name their features: each becomes a field, and a concat joins them."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.backends.tables.names import Places, are_made_up
from pipeline.batch.tensors import TensorSpec, describe
from pipeline.drafting.draft import (
    FILL_IN,
    Bound,
    Draft,
    FieldDraft,
    ModelDraft,
    StepDraft,
)
from pipeline.drafting.keys import features_by_field
from pipeline.formats.record_sample import Seen
from pipeline.spec.record import DTypeName

_NO_KEY = f"{FILL_IN}no key of the records has this name"
_NUMBERS = ("integer", "number", "bool")


def bind(draft: Draft, seen: Mapping[str, Seen] | None = None) -> None:
    """Declares the named features of a draft's models, joins them and binds what takes them.

    Features that no key of the records is called after are to be filled in; where none is, and
    there are records, the tensor is left for :mod:`pipeline.drafting.inputs`.

    Args:
      draft: the draft, which is changed.
      seen: fields that the records have; None if no records are known.
    """
    keys = seen or {}
    there = features_by_field(keys, draft.key_of)
    joined: dict[tuple[str, ...], str] = {}
    for model in draft.models:
        for tensor in model.inputs:
            if tensor.features is None or are_made_up(tensor.features):
                continue
            columns = Places(tensor.features).joined(there.items())
            lacking = () if seen is None else [column for column in columns if column not in keys]
            if len(lacking) == len(columns):
                continue
            for column in columns:
                _declare(draft, column, tensor, keys.get(column), _NO_KEY * (column in lacking))
            if len(columns) == 1 and len(tensor.features) > 1:
                model.bound[tensor.name] = Bound(columns[0])
                continue
            if columns not in joined:
                joined[columns] = _free(draft, model, keys)
                step = {"column": joined[columns], "op": "concat", "of": list(columns)}
                draft.prepare.append(StepDraft(step))
            model.bound[tensor.name] = Bound(joined[columns])


def _declare(draft: Draft, column: str, tensor: TensorSpec, values: Seen | None, note: str) -> None:
    """A field for one of the columns, wide enough for all models that read it."""
    dtype: DTypeName = "float32" if tensor.dtype == "float32" else "float64"
    before = draft.fields.get(column)
    shape = values.shape if values else ()
    if values is not None and values.kind == "bool":
        dtype = "bool"
    elif values is not None and values.kind not in _NUMBERS:
        found = describe(values.kind, values.shape)
        note = f"{FILL_IN}the records have {found} here, the model takes a number"
    elif before is not None and before.dtype == "float64":
        dtype = "float64"
    draft.fields[column] = FieldDraft(dtype, shape, note)


def _free(draft: Draft, model: ModelDraft, keys: Mapping[str, Seen]) -> str:
    """A name for the joined features that nothing else has."""
    outputs = {column for each in draft.models for column in each.outputs.values()}
    steps = {step.keys["column"] for step in draft.prepare}
    taken = {*draft.fields, *keys, *outputs, *steps}
    name = "features"
    while name in taken:
        name = f"{model.name}_{name}"
    return name
