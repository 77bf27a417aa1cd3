"""A drafted ensemble file as text, with comments for the person who completes it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.batch.tensors import describe
from pipeline.drafting.draft import (
    Bound,
    CsvDraft,
    Draft,
    ModelDraft,
    StepDraft,
    as_written,
    place,
)
from pipeline.readable import readable

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./*-]*|gs://[A-Za-z0-9_./*-]+")
# Words that YAML 1.1 does not read as text.
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "none", "."}


def as_yaml(draft: Draft, heading: Sequence[str]) -> str:
    """The text of the file.

    Args:
      draft: the drafted file.
      heading: the lines of a comment at its start.
    """
    lines = [
        *(f"# {line}" for line in heading),
        "",
        f"name: {_scalar(draft.name)}",
        "",
        *_record(draft),
        *_section("prepare", draft.prepare),
        "",
        "models:",
    ]
    for i, model in enumerate(draft.models):
        lines += ([""] if i else []) + list(_model(model))
    lines += _section("combine", draft.combine)
    output = [c for step in draft.combine if not step.is_comment for c in [step.keys["column"]]]
    if not output:
        output = list(_last_outputs(draft))
    lines += ["", "# The columns of a prediction, in this order.", f"output: {_flow(output)}"]
    return "\n".join(lines) + "\n"


def _last_outputs(draft: Draft) -> Iterator[str]:
    """The outputs that no other model reads; all, if each is read."""
    outputs = [column for model in draft.models for column in model.outputs.values()]
    read = {name for model in draft.models for b in model.bound.values() for name in b.columns}
    yield from [column for column in outputs if column not in read] or outputs


def _record(draft: Draft) -> Iterator[str]:
    if draft.source in ("image", "audio"):
        yield "record:"
        yield f"  source: {draft.source} # each file is a record, its path the id"
    elif draft.source == "raw":
        yield "record:"
        yield "  source: raw # each record goes to the models as it is, its id is a hash of it"
    else:
        if draft.records_from:
            yield from _comment(f"As in the first records of {draft.records_from}.")
        else:
            yield from _comment("Told from what the models read; no records were looked at.")
        yield "record:"
        if draft.id is not None:
            yield from _noted(f"  id: {_flow(as_written(draft.id[0]))}", draft.id[1])
        else:
            yield "  # id: NAME # the field with the record's id; without it, a hash of the record"
    if draft.csv is not None:
        yield from _csv(draft.csv)
    for note in draft.record_notes:
        yield from _comment(readable(note), indent="  ")
    yield "  fields:"
    for name, field in draft.fields.items():
        shape = f", shape: {_flow(list(field.shape))}" if field.shape else ""
        for key, value in place(name, draft.key_of.get(name)).items():
            shape += f", {key}: {_flow(value)}"
        shape += ", missing: keep" if field.keeps_missing else ""
        yield from _noted(f"    {_scalar(name)}: {{dtype: {field.dtype}{shape}}}", field.note)
    if draft.spare:
        yield ""
        yield "# Keys that no model reads; a prediction repeats those that are named here."
        yield from _comment(f"pass_through: {_flow([as_written(key) for key in draft.spare])}")


def _csv(csv: CsvDraft) -> Iterator[str]:
    line = f"  csv: {_flow(csv.keys)}"
    if len(line) <= _WIDTH:
        yield from _noted(line, csv.note)
        return
    yield from _comment(readable(csv.note), indent="  ")
    yield "  csv:"
    for entry in csv.keys.items():
        yield from _wrapped(*entry, "    ")


def _model(model: ModelDraft) -> Iterator[str]:
    yield f"  - name: {_scalar(model.name)}"
    yield f"    framework: {model.framework}"
    yield f"    uri: {_scalar(model.uri)}"
    if model.problem:
        yield from _comment(f"fill in: {model.problem}", indent="    ")
    for note in model.notes:
        yield from _comment(note, indent="    ")
    for key, value in model.keys.items():
        yield from _noted(f"    {key}: {_flow(value)}", model.key_notes.get(key, ""))
    if model.watch:
        told = "in a stream: where newer versions are looked for"
        yield from _noted(f"    # watch: {_scalar(model.watch)}", told)
    yield from _inputs(model)
    outputs = ", ".join(f"{_scalar(t)}: {_scalar(c)}" for t, c in model.outputs.items())
    types = ", ".join(_typed(model, tensor) for tensor in model.outputs).strip(", ")
    others = f"also: {', '.join(model.others)}" if model.others else ""
    line = f"    outputs: {{{outputs}}}"
    if len(line) <= _WIDTH or len(model.outputs) == 1:
        yield from _noted(line, "; ".join(filter(None, [types, others])))
        return
    yield from _noted("    outputs:", others)
    for tensor, column in model.outputs.items():
        yield from _noted(f"      {_scalar(tensor)}: {_scalar(column)}", _typed(model, tensor))


def _inputs(model: ModelDraft) -> Iterator[str]:
    optional = f"optional: {', '.join(model.optional)}" if model.optional else ""
    if len(model.bound) == 1:
        ((tensor, bound),) = model.bound.items()
        told = "; ".join(filter(None, [_told(model, tensor, bound), optional]))
        yield from _noted(f"    inputs: {{{_scalar(tensor)}: {_flow(bound.by)}}}", told)
        return
    yield from _noted("    inputs:", optional)
    for tensor, bound in model.bound.items():
        line = f"      {_scalar(tensor)}: {_flow(bound.by)}"
        yield from _noted(line, _told(model, tensor, bound))


def _told(model: ModelDraft, tensor: str, bound: Bound) -> str:
    return bound.note or _typed(model, tensor)


def _typed(model: ModelDraft, tensor: str) -> str:
    known = model.types.get(tensor)
    if known is None or known.dims is None:
        return ""
    return describe(known.dtype, known.row_shape).replace("any dtype", "")


def _section(name: str, steps: Sequence[StepDraft]) -> Iterator[str]:
    if not steps:
        return
    yield ""
    yield f"# {name}:" if all(step.is_comment for step in steps) else f"{name}:"
    for step in steps:
        if step.is_comment:
            yield from _noted(f"#   - {_flow(step.keys)}", step.note)
            continue
        line = f"  - {_flow(step.keys)}"
        if len(line) <= _WIDTH:
            yield from _noted(line, step.note)
            continue
        if step.note:
            yield from _comment(step.note, indent="  ")
        yield from _in_block(step.keys)


def _in_block(keys: Mapping[str, Any]) -> Iterator[str]:
    """An entry of a list, one line for each key, or more if it is long."""
    for i, (key, value) in enumerate(keys.items()):
        yield from _wrapped(key, value, "    " if i else "  - ")


def _wrapped(key: str, value: Any, begin: str) -> Iterator[str]:
    """A key and its value, in as many lines as they need."""
    yield from textwrap.wrap(
        f"{key}: {_flow(value)}",
        _WIDTH,
        initial_indent=begin,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _noted(line: str, note: str) -> Iterator[str]:
    """A line with a comment: behind it if there is room, otherwise in lines above it."""
    note = readable(note)
    if not note:
        yield line
    elif len(line) + 3 + len(note) <= _WIDTH:
        yield f"{line} # {note}"
    else:
        yield from _comment(note, indent=" " * (len(line) - len(line.lstrip())))
        yield line


def _comment(text: str, indent: str = "") -> Iterator[str]:
    """A comment in as many lines as it needs."""
    line = f"{indent}#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH and line.strip() != "#":
            yield line
            line = f"{indent}#  "
        line += f" {word}"
    yield line


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(k))}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


def _scalar(text: str) -> str:
    """A text as YAML, in quotes if YAML would otherwise read it as something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
