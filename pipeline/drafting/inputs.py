"""Finds the column for each tensor by names, types and shapes; a note marks each guess."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Container, Mapping, Set
from dataclasses import dataclass, field

from pipeline.backends.tables.names import Places, column_name
from pipeline.batch.tensors import (
    DTYPES,
    FLOATS,
    Shape,
    TensorSpec,
    column_fits,
    describe,
    dtype_fits,
)
from pipeline.drafting.draft import FILL_IN, GUESS, Bound, Draft, FieldDraft, ModelDraft
from pipeline.drafting.keys import features_by_field
from pipeline.formats.record_sample import NATURAL, Seen
from pipeline.spec.record import DTypeName
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey, outer_keys

# Names that say nothing about the input.
_GENERIC = re.compile(
    r"(x|inputs?|data|args?|feats?|features?|float_input|input_layer|keras_tensor)[_.]?\d*(:\d+)?",
    re.IGNORECASE,
)
_NO_SHAPE = "the model does not declare its shape"
_SHOWN = 8
_SINGLE = Seen("number", (), 0, distinct=False)


@dataclass
class _Field:
    """A field, and the tensors that read it.

    Attributes:
      shape: of a row.
      readers: the tensors.
      note: on it.
      is_exact: whether a reader takes float64, though it does not say so.
    """

    shape: Shape
    readers: list[TensorSpec] = field(default_factory=list)
    note: str = ""
    is_exact: bool = False


def bind(draft: Draft, seen: Mapping[str, Seen] | None = None, *, flat: bool = False) -> None:
    """Finds fields for all tensors of a draft's models that are not bound yet, and declares them.

    Args:
      draft: the draft, which is changed.
      seen: fields that the records have; None if no records are known.
      flat: whether records have a tensor of several axes as one list.
    """
    makers = {column: model for model in draft.models for column in model.outputs.values()}
    taken = {*draft.fields, *(step.keys["column"] for step in draft.prepare)}
    by_records = None if seen is None else _ByRecords(seen, flat, taken, draft.key_of)
    binder = by_records or _ByModels(taken)
    tensors = [(m, t) for m in draft.models for t in m.inputs if t.name not in m.bound]
    # Known tensors help with those of which nothing is known.
    tensors.sort(
        key=lambda pair: (
            by_records is not None and by_records.named(pair[1]) is None,
            _is_vague(pair[1]),
            pair[1].dtype is None,
        )
    )
    bound: dict[tuple[str, str], Bound] = {}
    for model, tensor in tensors:
        if tensor.dims == ():
            found = _constant(tensor)
        elif makers.get(tensor.name, model) is not model:
            found = Bound(tensor.name, f"{GUESS}the output of another model has this name")
        else:
            found = binder.bind(model, tensor)
        bound[model.name, tensor.name] = found
    for model in draft.models:
        model.bound |= {
            t.name: bound[model.name, t.name] for t in model.inputs if t.name not in model.bound
        }
    for name, declared in binder.fields.items():
        kind = seen[name] if seen and name in seen else None
        draft.fields[name] = FieldDraft(_dtype(declared, kind), declared.shape, declared.note)


def _is_vague(tensor: TensorSpec) -> bool:
    return tensor.dims is None


def _constant(tensor: TensorSpec) -> Bound:
    zero = "" if tensor.dtype in ("string", "bytes") else False if tensor.dtype == "bool" else 0
    value = {"value": zero, "dtype": tensor.dtype or "float32"}
    return Bound(value, f"{FILL_IN}the value; this input takes one for all rows, not a column")


class _ByRecords:
    """Binds tensors to keys of records.

    No key feeds two inputs of one model.

    Attributes:
      fields: those that are read so far.
    """

    def __init__(
        self, seen: Mapping[str, Seen], flat: bool, taken: Set[str], key_of: Mapping[str, Key]
    ) -> None:
        self.fields: dict[str, _Field] = {}
        self._taken = taken
        self._seen = seen
        self._flat = flat
        self._features = features_by_field(dict.fromkeys(seen, _SINGLE), key_of)
        self._read: dict[str, dict[str, str]] = {}  # model -> key -> its input
        self._key_of = key_of
        self._holder: dict[str, str] = {}  # a column of the records -> the field that has it
        for declared in taken & key_of.keys():
            self._hold(declared)

    def named(self, tensor: TensorSpec) -> str | None:
        """The key that fits a tensor and has its name; None where none does, or several alike."""
        fitting = self._fitting(tensor)
        name = tensor.name.removesuffix(":0")
        exact = [k for k in fitting if name in self._features[k][0].names]
        place = Places((name,))
        alike = exact or [k for k in fitting if place.of(self._features[k][0])]
        return alike[0] if len(alike) == 1 else None

    def bind(self, model: ModelDraft, tensor: TensorSpec) -> Bound:
        """The key that feeds a tensor."""
        read = self._read.setdefault(model.name, {})
        named = self.named(tensor)
        fitting = self._fitting(tensor)
        free = [key for key in fitting if key not in read and not self._is_elsewhere(key)]
        if not free:
            return self._missing(model, tensor, {key: read[key] for key in fitting if key in read})
        fitting = free
        if named in fitting:
            chosen = named
            note = f"{GUESS}it has the same name; {_NO_SHAPE}" if _is_vague(tensor) else ""
        else:
            chosen, note = self._likeliest(fitting, tensor, text=_takes_text(model, tensor))
        shape = self._seen[chosen].shape
        if self._is_flat(chosen, tensor.row_shape):
            shape = tensor.row_shape or shape
        self._hold(chosen)
        declared = self.fields.setdefault(chosen, _Field(shape))
        declared.readers.append(tensor)
        declared.is_exact |= model.framework == "sklearn" and not shape
        read[chosen] = tensor.name
        return Bound(chosen, note)

    def _hold(self, field: str) -> None:
        key = self._key_of.get(field, field)
        self._holder |= dict.fromkeys(outer_keys(key) if _is_whole(key) else (), field)

    def _is_elsewhere(self, field: str) -> bool:
        """Whether another field has what it would have, by itself or with others."""
        key = self._key_of.get(field, field)
        columns = outer_keys(key) if _is_whole(key) else ()
        return any(self._holder.get(column, field) != field for column in columns)

    def _likeliest(self, fitting: list[str], tensor: TensorSpec, *, text: bool) -> tuple[str, str]:
        """One of several keys, and why."""
        if len(fitting) == 1 and not _is_vague(tensor):
            return fitting[0], f"{GUESS}the only key of the records that is {_described(tensor)}"
        near = difflib.get_close_matches(tensor.name, fitting, n=1)
        # Models of an ensemble mostly read the same; and what has axes is rarely a label.
        ranked = sorted(
            fitting,
            key=lambda k: (
                (self._seen[k].kind == "text") != text,
                k not in self.fields,
                -len(self._seen[k].shape),
            ),
        )
        chosen = near[0] if near else ranked[0]
        others = ", ".join([key for key in fitting if key != chosen][:_SHOWN])
        if _is_vague(tensor):
            note = f"{_NO_SHAPE}; it could be {others}" if others else _NO_SHAPE
        else:
            note = f"{others} would fit {_described(tensor)} as well"
        return chosen, f"{GUESS}{note}"

    def _missing(self, model: ModelDraft, tensor: TensorSpec, read: Mapping[str, str]) -> Bound:
        """A field that the records do not have, or that other inputs of the model read."""
        name = _free(_plain(tensor.name), model, {*self._seen, *self.fields, *self._taken})
        keys = ", ".join(
            f"{key} {_shown(values)}" for key, values in list(self._seen.items())[:_SHOWN]
        )
        note = f"{FILL_IN}no key of the records fits {_described(tensor)}; they have {keys}"
        if read:
            taken = ", ".join(f"{key} for '{other}'" for key, other in list(read.items())[:_SHOWN])
            note = f"{FILL_IN}no key of the records is left for it; the model reads {taken}"
        if tensor.name in self._seen and tensor.name not in read:
            found = _shown(self._seen[tensor.name])
            note = (
                f"{FILL_IN}the records have {tensor.name} {found}, the model takes "
                f"{_described(tensor)}"
            )
            if found == "integer" and tensor.dtype == "string":
                note += f"; of CSV, a field `{tensor.name}: {{dtype: string}}` has it as text"
        self.fields[name] = _Field(_declarable(tensor.row_shape), [tensor])
        return Bound(name, note)

    def _fitting(self, tensor: TensorSpec) -> list[str]:
        """The keys that a tensor could read."""
        return [key for key in self._seen if self._fits(key, tensor)]

    def _fits(self, key: str, tensor: TensorSpec) -> bool:
        row, values = tensor.row_shape, self._seen[key]
        if values.shape.count(None) > 1:
            return False  # which no field can declare
        if not (column_fits(values.shape, row) or self._is_flat(key, row)):
            return False
        if tensor.dtype is None:
            numbers = values.kind in ("integer", "number", "bool")
            return numbers or (not row and values.kind == "text")
        return any(values.can_be(d) and dtype_fits(d, tensor.dtype) for d in DTYPES)

    def _is_flat(self, key: str, row: Shape | None) -> bool:
        """Whether a list is a tensor of several axes, one value after the other."""
        shape = self._seen[key].shape
        flat = self._flat or isinstance(self._key_of.get(key), ColumnsKey)
        if not flat or row is None or len(shape) != 1 or len(row) < 2 or None in row:
            return False
        return shape[0] == math.prod(n for n in row if n is not None)


class _ByModels:
    """Binds tensors to fields that are made up to fit them.

    Attributes:
      fields: those that are read so far.
    """

    def __init__(self, taken: Set[str]) -> None:
        self.fields: dict[str, _Field] = {}
        self._taken = taken

    def bind(self, model: ModelDraft, tensor: TensorSpec) -> Bound:
        """The field that feeds a tensor."""
        if _is_vague(tensor):
            return self._vague(model, tensor)
        row = _declarable(tensor.row_shape)
        generic = _GENERIC.fullmatch(tensor.name)
        fitting = [n for n, f in self.fields.items() if _may_share(f, row, tensor)]
        if tensor.name in fitting:
            note = ""
            name = tensor.name
        elif generic and fitting:
            name, note = fitting[0], f"{GUESS}another model reads the same type and shape"
        else:
            name, note = _free(_field_name(tensor), model, {*self.fields, *self._taken}), ""
            if row != tensor.row_shape:
                shape = describe(None, tensor.row_shape).removeprefix("any dtype")
                note = f"{FILL_IN}the model takes {shape}, and a field can have one varying axis"
        self.fields.setdefault(name, _Field(row)).readers.append(tensor)
        return Bound(name, note)

    def _vague(self, model: ModelDraft, tensor: TensorSpec) -> Bound:
        """A tensor of which no shape is known."""
        if _takes_text(model, tensor):
            text = TensorSpec(tensor.name, "string", (None,))
            return Bound(self.bind(model, text).by, f"{GUESS}text, since it declares no shape")
        plain = _plain(tensor.name)
        known = [name for name, declared in self.fields.items() if not declared.note]
        if plain in self.fields:
            self.fields[plain].readers.append(tensor)
            return Bound(plain, f"{GUESS}it has the same name; {_NO_SHAPE}")
        if len(known) == 1:
            self.fields[known[0]].readers.append(tensor)
            return Bound(known[0], f"{GUESS}the only field that is known; {_NO_SHAPE}")
        name = _free(_field_name(tensor), model, {*self.fields, *self._taken})
        self.fields[name] = _Field((1,), [tensor], f"{FILL_IN}type and shape")
        return Bound(name, f"{GUESS}{_NO_SHAPE}")


def _is_whole(key: Key) -> bool:
    """Whether it holds all that stands under its columns: two paths may lead into one."""
    return not isinstance(key, PathKey)


def _takes_text(model: ModelDraft, tensor: TensorSpec) -> bool:
    """Whether it is a scikit-learn pipeline that begins with text: only those count no features."""
    return model.framework == "sklearn" and not model.problem and _is_vague(tensor)


def _may_share(declared: _Field, row: Shape, tensor: TensorSpec) -> bool:
    wanted = tensor.dtype or "float32"
    return declared.shape == row and all(
        dtype_fits(wanted, reader.dtype) and dtype_fits(reader.dtype or "float32", wanted)
        for reader in declared.readers
    )


def _field_name(tensor: TensorSpec) -> str:
    if not _GENERIC.fullmatch(tensor.name):
        return _plain(tensor.name)
    if tensor.dtype in ("string", "bytes"):
        return "text"
    axes = len(tensor.row_shape or (1,))
    return {0: "value", 1: "features", 3: "image"}.get(axes, "tensor")


def _plain(name: str) -> str:
    """A tensor's name in the form of a column name."""
    return column_name(name.removesuffix(":0"))


def _free(name: str, model: ModelDraft, taken: Container[str]) -> str:
    """The name, with the model's name in front if it is taken."""
    number, free = 2, name
    if free in taken:
        free = f"{model.name}_{name}"
    while free in taken:
        free, number = f"{model.name}_{name}_{number}", number + 1
    return free


def _declarable(row: Shape | None) -> Shape:
    """A shape that a field can declare: at most one axis that varies."""
    if row is None:
        return (1,)
    varying = [i for i, n in enumerate(row) if n is None][1:]
    return tuple(1 if i in varying else n for i, n in enumerate(row))


def _dtype(declared: _Field, seen: Seen | None) -> DTypeName:
    """The dtype of a field: one that the records can have, and all its readers take."""
    wanted = [reader.dtype for reader in declared.readers if reader.dtype]
    natural = NATURAL.get(seen.kind) if seen else None
    if not wanted and declared.shape and natural in ("int64", "bool"):
        natural = "float32"  # a feature matrix; the next record may have fractions
    if not wanted and declared.is_exact and natural == "float32":
        natural = "float64"  # which pandas reads tables as
    if wanted and all(dtype in FLOATS for dtype in wanted):
        wanted.sort(key=wanted.count, reverse=True)
    choices = (*wanted, natural, "float32", *DTYPES)
    for dtype in choices:
        possible = dtype is not None and (seen is None or seen.can_be(dtype))
        if possible and all(dtype_fits(str(dtype), other) for other in wanted):
            return dtype  # type: ignore[return-value]  # one of DTYPES
    return natural or "float32"


def _described(tensor: TensorSpec) -> str:
    return describe(tensor.dtype, tensor.row_shape).replace("any dtype[", "[")


def _shown(values: Seen) -> str:
    return describe(values.kind, values.shape)
