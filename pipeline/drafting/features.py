"""Models whose files name their features: each becomes a field, and a concat joins them.

Where some are text in the records, an estimator of scikit-learn gets the columns as a table: it may
begin with an encoder of any library. All other models of named features take numbers.
"""

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
_OF_CELLS: dict[str, DTypeName] = {"text": "string", "bool": "bool", "integer": "int64"}


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
            notes = {column: _NO_KEY * (column in lacking) for column in columns}
            if model.framework == "sklearn" and any(_is_text(keys.get(c)) for c in columns):
                for column, note in notes.items():
                    _declare_cell(draft, column, keys.get(column), note)
                model.bound[tensor.name] = Bound(list(columns))
                continue
            for column, note in notes.items():
                _declare(draft, column, tensor, keys.get(column), note)
            columns = tuple(_declared(column, keys.get(column)) for column in columns)
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
        note = (
            f"{FILL_IN}the records have {found} in {column}, the model takes a number: a step that "
            f"makes it of a field {column}, such as `op: ordinal` with the labels in the order of "
            "training"
        )
        column, shape = _declared(column, values), ()
    elif before is not None and before.dtype == "float64":
        dtype = "float64"
    draft.fields[column] = FieldDraft(dtype, shape, note)


def _is_text(values: Seen | None) -> bool:
    return values is not None and values.kind == "text" and not values.shape


def _declare_cell(draft: Draft, column: str, values: Seen | None, note: str) -> None:
    """A field for a column of a table."""
    before = draft.fields.get(column)
    if before is None or before.dtype == "float32":
        dtype = _OF_CELLS.get(values.kind, "float64") if values is not None else "float64"
        draft.fields[column] = FieldDraft(dtype, values.shape if values else (), note)


def _declared(column: str, values: Seen | None) -> str:
    """The field for a column: another than the column, which others read, if it is no number."""
    return f"{column}_number" if values is not None and values.kind not in _NUMBERS else column


def _free(draft: Draft, model: ModelDraft, keys: Mapping[str, Seen]) -> str:
    """A name for the joined features that nothing else has."""
    outputs = {column for each in draft.models for column in each.outputs.values()}
    steps = {step.keys["column"] for step in draft.prepare}
    taken = {*draft.fields, *keys, *outputs, *steps}
    name = "features"
    while name in taken:
        name = f"{model.name}_{name}"
    return name
