"""Models of tables that cannot be bound by name: columns in their order, or one vector of all.

Whether the order is that of training, nobody can tell from the files, so each of these is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.backends.tables.names import are_made_up
from pipeline.batch.tensors import TensorSpec
from pipeline.drafting.draft import GUESS, Bound, Draft, FieldDraft, ModelDraft, StepDraft
from pipeline.formats.record_sample import Seen
from pipeline.spec.record import DTypeName
from pipeline.spec.record.keys import outer_keys

_NUMBERS = ("integer", "number", "bool")
_WITH_TEXT = ("sklearn",)
"""Frameworks whose models take numbers and text side by side."""
_LABELS = ("class", "label", "labels", "outcome", "species", "target", "y")
"""What tables call the column that a model is to tell."""
_LISTS = ("sklearn", "xgboost", "lightgbm")
"""Frameworks whose models take a list of columns."""


def bind(draft: Draft, seen: Mapping[str, Seen]) -> None:
    """Binds models that take a row of n features without names, where the records have n columns.

    And those that take named features, where the records have one vector of as many in their place.

    Args:
      draft: the draft, which is changed.
      seen: fields that the records have.
    """
    for model in draft.models:
        free = [tensor for tensor in model.inputs if tensor.name not in model.bound]
        if model.problem or model.bound or not free:
            continue
        if len(free) == 1:
            _bind_columns(draft, model, free[0], seen)
        elif model.framework in _LISTS and not {tensor.name for tensor in free} & _names(draft):
            _bind_vector(draft, model, free, seen)


def _names(draft: Draft) -> set[str]:
    columns = (column for key in draft.key_of.values() for column in outer_keys(key))
    return {*draft.key_of, *columns}


def _bind_columns(
    draft: Draft, model: ModelDraft, tensor: TensorSpec, seen: Mapping[str, Seen]
) -> None:
    if tensor.features is not None and not are_made_up(tensor.features):
        return
    columns = _columns(model, tensor, seen)
    if columns is None or any(values.shape == tensor.row_shape for values in seen.values()):
        return
    left_out = ", ".join(f for f, values in seen.items() if not values.shape and f not in columns)
    note = (
        f"{GUESS}its file names no features; the records have as many columns"
        f"{left_out and f' beside {left_out}'}, and whether this is the order of training, only "
        "you can tell"
    )
    has_text = any(values.kind == "text" for values in columns.values())
    for field, values in columns.items():
        before = draft.fields.get(field)
        draft.fields[field] = before or FieldDraft(_dtype(tensor, values, mixed=has_text), ())
    if model.framework in _LISTS:
        model.bound[tensor.name] = Bound(list(columns), note)
        return
    joined = f"{model.name}_features"
    step = {"column": joined, "op": "concat", "of": list(columns)}
    draft.prepare.append(StepDraft(step, note))
    model.bound[tensor.name] = Bound(joined)


def _columns(
    model: ModelDraft, tensor: TensorSpec, seen: Mapping[str, Seen]
) -> dict[str, Seen] | None:
    """The columns that are as many as a model takes: all that it can take, or those of numbers.

    What tables call the answer is left out if only then they are as many.
    """
    single = {field: values for field, values in seen.items() if values.shape == ()}
    takes_text = model.framework in _WITH_TEXT
    for kinds in ((*_NUMBERS, "text"), _NUMBERS) if takes_text else (_NUMBERS,):
        usable = {field: values for field, values in single.items() if values.kind in kinds}
        given = {f: values for f, values in usable.items() if f.casefold() not in _LABELS}
        for columns in (usable, given):
            if len(columns) > 1 and tensor.row_shape == (len(columns),):
                return columns
    return None


def _bind_vector(
    draft: Draft, model: ModelDraft, features: list[TensorSpec], seen: Mapping[str, Seen]
) -> None:
    vectors = [
        field
        for field, values in seen.items()
        if values.shape == (len(features),) and values.kind in _NUMBERS
    ]
    if len(vectors) != 1 or any(tensor.values for tensor in features):
        return
    draft.fields.setdefault(vectors[0], FieldDraft("float64", (len(features),)))
    names = ", ".join(tensor.name for tensor in features)
    note = f"{GUESS}whether its values are {names}, in this order, only you can tell"
    matrix = TensorSpec("X", None, (None, len(features)))
    model.inputs, model.types["X"] = (matrix,), matrix
    model.bound["X"] = Bound(vectors[0], note)


def _dtype(tensor: TensorSpec, values: Seen, *, mixed: bool) -> DTypeName:
    if values.kind == "text":
        return "string"
    if values.kind == "bool":
        return "bool"
    if mixed and values.kind == "integer":
        return "int64"
    return "float32" if tensor.dtype == "float32" else "float64"
