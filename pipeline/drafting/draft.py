"""An ensemble file that is being drafted from what models and records say of themselves.

What is not certain carries a note that begins with "guess:", or with "fill in:" where only a person
can know. How tensors find their columns is :mod:`pipeline.drafting.inputs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.batch.tensors import Shape, TensorSpec
from pipeline.drafting.families import Clues
from pipeline.drafting.spread_columns import pattern_of
from pipeline.formats.record_sample import Seen
from pipeline.spec.record import DTypeName
from pipeline.spec.record.keys import ColumnsKey, Key, PathKey, RecordKey

GUESS, FILL_IN = "guess: ", "fill in: "

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_ID_NAME = re.compile(r"(.*_)?(id|key|uuid|guid)", re.IGNORECASE)
# The usual outputs of a model that has more; all those of the first group that it has.
_PREFERRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "sklearn": (("predict_proba",), ("predict",), ("transform",)),
    "xgboost": (("predict",),),
    "lightgbm": (("predict",),),
    "catboost": (("predict_proba",), ("predict",)),
    "transformers": (
        *(("probs", "label"), ("embedding",), ("best", "scores")),
        *(("boxes", "labels", "scores"), ("mask", "labels")),
        *(("labels", "texts", "scores", "starts", "ends"), ("labels", "scores")),
        *(("answer", "score"), ("tokens", "scores"), ("text",)),
    ),
}
# Names of a model's tensors if they cannot be found out.
_USUAL: dict[str, tuple[str, str]] = {
    "sklearn": ("X", "predict"),
    "xgboost": ("X", "predict"),
    "lightgbm": ("X", "predict"),
    "catboost": ("X", "predict"),
    "torch": ("input", "output_0"),
    "transformers": ("text", "embedding"),
}


@dataclass
class FieldDraft:
    """A field of the record."""

    dtype: DTypeName
    shape: Shape
    note: str = ""
    keeps_missing: bool = False


@dataclass
class Bound:
    """The source of a tensor: a column, a list of columns, or a constant as the file has it."""

    by: str | list[str] | dict[str, Any]
    note: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        if isinstance(self.by, dict):
            return ()
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)


@dataclass
class ModelDraft:
    """A model.

    Attributes:
      name, framework, uri, watch: the keys of the entry; `watch` is only suggested.
      keys: further keys, such as `task`.
      inputs: its tensors, except those that need not be bound.
      outputs: tensor -> column, for the outputs that are written.
      types: tensor -> its known type.
      bound: tensor -> its source.
      others: outputs that could be written as well.
      optional: inputs that could be bound as well.
      problem: why no column can be bound to its tensors; empty if one can.
      notes: the notes on the whole entry.
      takes_examples: whether it parses serialized tf.Example messages itself.
      key_notes: key -> what a reader should know of its value.
      missing: keys that an entry must have, and only a person can know.
      clues: to the family that it is of, if it reads pictures.
    """

    name: str
    framework: str
    uri: str
    watch: str | None
    keys: dict[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: dict[str, str]
    types: dict[str, TensorSpec]
    bound: dict[str, Bound] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    takes_examples: bool = False
    key_notes: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    clues: Clues = field(default_factory=Clues)


@dataclass
class StepDraft:
    """A prepare or combine step, as the file has it."""

    keys: dict[str, Any]
    note: str = ""
    is_comment: bool = False


@dataclass
class CsvDraft:
    """How CSV files are written, where a file does not say it itself.

    Attributes:
      keys: as `record.csv` has them.
      note: on what is a guess.
    """

    keys: dict[str, Any]
    note: str = ""


@dataclass
class Draft:
    """An ensemble file.

    Attributes:
      name: of the ensemble.
      models: its models.
      records_from: the file that fields were read from; empty if there is none.
      source: "image" or "audio" where each record is such a file, "raw" where records are not
        decoded; else empty.
      id: the id field, and a note on it.
      fields: name -> field.
      key_of: name of a field -> where the records hold it, where there are records.
      prepare, combine: steps.
      spare: keys of the records that no model reads.
      csv: how CSV files are written, and what of it is a guess.
      record_notes: on all of the record.
    """

    name: str
    models: list[ModelDraft]
    records_from: str = ""
    source: str = ""
    id: tuple[RecordKey, str] | None = None
    fields: dict[str, FieldDraft] = field(default_factory=dict)
    key_of: Mapping[str, Key] = field(default_factory=dict)
    prepare: list[StepDraft] = field(default_factory=list)
    combine: list[StepDraft] = field(default_factory=list)
    spare: tuple[RecordKey, ...] = ()
    csv: CsvDraft | None = None
    record_notes: list[str] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """The ensemble file as plain data, without its comments."""
        record: dict[str, Any] = {"source": self.source} if self.source else {}
        if self.id is not None:
            record["id"] = as_written(self.id[0])
        if self.csv is not None:
            record["csv"] = dict(self.csv.keys)
        record["fields"] = {
            name: {"dtype": f.dtype, "shape": list(f.shape), **place(name, self.key_of.get(name))}
            for name, f in self.fields.items()
        }
        for name in self.fields:
            if self.fields[name].keeps_missing:
                record["fields"][name]["missing"] = "keep"
        return {
            "name": self.name,
            "record": record,
            "prepare": [step.keys for step in self.prepare if not step.is_comment],
            "models": [entry(model) for model in self.models],
            "combine": [step.keys for step in self.combine if not step.is_comment],
        }

    def notes(self) -> Iterator[str]:
        """All notes, in the order of the file."""
        if self.id is not None:
            yield self.id[1]
        if self.csv is not None:
            yield self.csv.note
        yield from self.record_notes
        yield from (f.note for f in self.fields.values())
        yield from (step.note for step in self.prepare)
        for model in self.models:
            yield from model.notes
            yield from (bound.note for bound in model.bound.values())
        yield from (step.note for step in self.combine if not step.is_comment)


def entry(model: ModelDraft) -> dict[str, Any]:
    """A model's entry as plain data."""
    return {
        "name": model.name,
        "framework": model.framework,
        "uri": model.uri,
        **model.keys,
        "inputs": {tensor: bound.by for tensor, bound in model.bound.items()},
        "outputs": dict(model.outputs),
    }


def model_draft(
    name: str,
    framework: str,
    uri: str,
    watch: str | None,
    *,
    keys: Mapping[str, Any] | None = None,
    inputs: Sequence[TensorSpec] | None = None,
    outputs: Sequence[TensorSpec] | None = None,
    optional: frozenset[str] = frozenset(),
    problem: str = "",
    takes_examples: bool = False,
    key_notes: Mapping[str, str] | None = None,
    missing: tuple[str, ...] = (),
) -> ModelDraft:
    """A model's entry, its inputs not bound yet.

    Args:
      name: see ModelDraft.
      framework: see ModelDraft.
      uri: see ModelDraft.
      watch: see ModelDraft.
      keys: see ModelDraft.
      inputs: None if they are not known.
      outputs: None if they are not known.
      optional: inputs that need not be bound.
      problem: see ModelDraft.
      takes_examples: see ModelDraft.
      key_notes: see ModelDraft.
      missing: see ModelDraft.
    """
    usual_input, usual_output = _USUAL.get(framework, ("input", "output"))
    notes = []
    if inputs is None:
        inputs = (TensorSpec(usual_input),)
        notes.append(f"{FILL_IN}the names of its inputs; '{usual_input}' is only the usual one")
    if outputs is None:
        outputs = (TensorSpec(usual_output),)
        notes.append(f"{FILL_IN}the names of its outputs; '{usual_output}' is only the usual one")
    names = [tensor.name for tensor in outputs]
    wanted = next(
        (group for group in _PREFERRED.get(framework, ()) if set(group) <= set(names)), names
    )
    return ModelDraft(
        name,
        framework,
        uri,
        watch,
        dict(keys or {}),
        tuple(tensor for tensor in inputs if tensor.name not in optional),
        {tensor: output_column_name(name, tensor) for tensor in wanted},
        {tensor.name: tensor for tensor in (*inputs, *outputs)},
        others=tuple(name for name in names if name not in wanted),
        optional=tuple(tensor.name for tensor in inputs if tensor.name in optional),
        problem=problem,
        notes=[] if problem else notes,
        takes_examples=takes_examples,
        key_notes=dict(key_notes or {}),
        missing=missing,
    )


def output_column_name(model: str, tensor: str) -> str:
    """The name of an output's column."""
    return _NOT_IN_NAMES.sub("_", f"{model}_{tensor.removeprefix('predict_')}").strip("_")


def is_name(text: str) -> bool:
    """Whether the ensemble file can have a column of that name."""
    return not _NOT_IN_NAMES.search(text) and (text[:1].isalpha() or text[:1] == "_")


def id_field(seen: Mapping[RecordKey, Seen]) -> tuple[RecordKey, str] | None:
    """The key that identifies a record, and a note; None if no key looks like it."""
    for key in sorted(seen, key=lambda key: isinstance(key, PathKey)):  # those inside come last
        values = seen[key]
        alike = values.kind in ("text", "integer") and not values.shape and values.distinct
        if alike and _ID_NAME.fullmatch(last_part(key)):
            return key, f"{GUESS}different in each of the {values.records} records looked at"
    return None


def last_part(key: RecordKey) -> str:
    """What a value is called in the object that it is in."""
    return key.path[-1] if isinstance(key, PathKey) else key


def as_written(key: RecordKey) -> str | dict[str, Any]:
    """A key as the ensemble file has it."""
    return {"path": list(key.path)} if isinstance(key, PathKey) else key


def place(field: str, key: Key | None) -> dict[str, Any]:
    """The key of a field's entry that says where its value is; none if its name does."""
    if isinstance(key, PathKey):
        return as_written(key)  # type: ignore[return-value]
    if isinstance(key, ColumnsKey):
        return {"columns": pattern_of(key.names) or list(key.names)}
    return {} if key in (None, field) else {"name": key}
