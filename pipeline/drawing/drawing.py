"""The content of a picture: an ensemble as boxes, the columns that each makes, and their readers.

:mod:`pipeline.drawing.text` and :mod:`pipeline.drawing.svg` draw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.batch.tensors import describe
from pipeline.readable import shown_uri
from pipeline.spec.column_types import Type
from pipeline.spec.combine import CombineStep
from pipeline.spec.graph import Graph
from pipeline.spec.model import ColumnInput, ModelSpec
from pipeline.spec.prepare import PrepareStep

BoxKind = Literal["record", "prepare", "model", "combine", "output"]

HEADINGS: dict[BoxKind, str] = {
    "record": "record",
    "prepare": "prepare",
    "model": "models",
    "combine": "combine",
    "output": "output",
}

_SHOWN_ELSEWHERE = {"column", "op", "of", "scores", "mask", "labels", "file", "tokenizer"}
"""Keys of a step that name columns or are too long for a box."""


@dataclass(frozen=True)
class Bundle:
    """Columns of one box that have the same readers.

    Attributes:
      columns: their names; none if the box makes nothing.
      readers: positions of the boxes that read them, in the drawing.
    """

    columns: tuple[str, ...]
    readers: tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """The record, a step, a model, or the output.

    Attributes:
      kind: which of these it is.
      title: a model's name, a step's operation.
      notes: framework and version of a model, settings of a step.
      layer: how many boxes stand before it at least; those of one kind come before the next kind's.
      reads: the columns that it reads.
      bundles: the columns that it makes.
      details: lines for which a box has no room.
    """

    kind: BoxKind
    title: str
    notes: tuple[str, ...]
    layer: int
    reads: tuple[str, ...] = ()
    bundles: tuple[Bundle, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """The content of a picture of an ensemble.

    Attributes:
      name: the ensemble's name.
      boxes: the record first, then in the order in which they run, the output last.
      types: column -> dtype and row shape, as far as known.
    """

    name: str
    boxes: tuple[Box, ...]
    types: Mapping[str, Type]

    def typed(self, column: str) -> str:
        """A column's dtype and shape in words; empty if not known."""
        return describe(*self.types[column]) if column in self.types else ""


def draw(
    graph: Graph, types: Mapping[str, Type] | None = None, versions: Mapping[str, str] | None = None
) -> Drawing:
    """The content of a picture of a graph.

    Args:
      graph: the ensemble.
      types: column -> dtype and row shape, in addition to those that the graph knows without its
        models.
      versions: model -> label of its version.
    """
    types, versions = {**graph.types, **(types or {})}, versions or {}
    sections: list[list[_Part]] = [
        [_of_step("prepare", step) for step in graph.prepare],
        [_of_model(model, versions.get(model.name)) for model in graph.models],
        [_of_step("combine", step) for step in graph.combine],
    ]
    parts = [_of_record(graph), *(part for section in sections for part in section)]
    parts.append(_Part("output", "output", (), tuple(graph.output), ()))
    layers = _layers(sections)
    readers = _readers(parts)
    boxes = [
        Box(p.kind, p.title, p.notes, layer, p.reads, _bundles(p.makes, readers), p.details)
        for p, layer in zip(parts, layers, strict=True)
    ]
    return Drawing(graph.spec.name, tuple(boxes), types)


@dataclass(frozen=True)
class _Part:
    kind: BoxKind
    title: str
    notes: tuple[str, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    details: tuple[str, ...] = ()


def _of_record(graph: Graph) -> _Part:
    record = graph.spec.record
    whole = {"image": "an image file", "audio": "a sound file", "raw": "not decoded"}
    note = "" if record.id is None else f"id: {record.id}"
    note = whole[record.source] if record.source else note
    return _Part("record", "record", (note,) if note else (), (), tuple(record.fields))


def _of_model(model: ModelSpec, version: str | None) -> _Part:
    notes = [model.framework, *([f"version {version}"] if version else [])]
    details = [shown_uri(model.artifact_uri)]
    for tensor, binding in model.inputs.items():
        fed_by = binding.column if isinstance(binding, ColumnInput) else "a constant"
        details.append(f"input {tensor}: {fed_by}")
    details += [f"output {tensor}: {column}" for tensor, column in model.outputs.items()]
    return _Part(
        "model",
        model.name,
        tuple(notes),
        tuple(model.columns_read()),
        tuple(model.columns_written()),
        tuple(details),
    )


def _of_step(kind: Literal["prepare", "combine"], step: PrepareStep | CombineStep) -> _Part:
    settings = step.model_dump(exclude_defaults=True, exclude=_SHOWN_ELSEWHERE)
    notes = [f"{key} {_plain(value)}" for key, value in settings.items()]
    if labels := getattr(step, "labels", None):
        notes.append(f"{len(labels)} labels")
    reads, makes = tuple(dict.fromkeys(step.columns_read())), tuple(step.columns_written())
    return _Part(kind, step.op, tuple(notes), reads, makes)


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _layers(sections: Sequence[Sequence[_Part]]) -> list[int]:
    """A layer for the record, for each part of the sections, and for the output."""
    layers, begin = [0], 1
    for section in sections:
        made: dict[str, int] = {}
        for part in section:  # in topological order
            layer = max((made[c] + 1 for c in part.reads if c in made), default=begin)
            made |= dict.fromkeys(part.makes, layer)
            layers.append(layer)
        begin = max([begin - 1, *made.values()]) + 1
    return [*layers, begin]


def _readers(parts: Sequence[_Part]) -> dict[str, tuple[int, ...]]:
    return {
        column: tuple(i for i, reader in enumerate(parts) if column in reader.reads)
        for part in parts
        for column in part.makes
    }


def _bundles(columns: Iterable[str], readers: Mapping[str, tuple[int, ...]]) -> tuple[Bundle, ...]:
    """The columns of a box by who reads them, in the order of the first of each."""
    together: dict[tuple[int, ...], list[str]] = {}
    for column in columns:
        together.setdefault(readers[column], []).append(column)
    return tuple(Bundle(tuple(names), of) for of, names in together.items())
