"""Batches encoded into CSV, a column at a time.

A prediction is a line of ``id``, the outputs, the keys that are passed through, ``release_id``,
``generation`` and ``models`` (JSON text: model -> version). A single value is a cell and a vector
of fixed length is several, ``NAME_0`` and so on; all else is JSON text in one cell. Texts are
always quoted, and numbers never are, so that an empty text (``""``) is not a missing value
(nothing). Numbers are written as in JSON: ``1.0`` stays a float, and the digits are the fewest that
are read back as the same value.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from pipeline.batch.batch import Batch
from pipeline.batch.columns import (
    Array,
    BatchColumn,
    Column,
    Masked,
    Ragged,
    from_rows,
    iterate,
    presence_of,
    take,
    values_of,
)
from pipeline.batch.exact_number import ExactNumber, exact_json
from pipeline.batch.payloads import as_json
from pipeline.batch.tensors import Shape
from pipeline.errors import SpecError
from pipeline.formats.line_encoder import join_columns, json_rows, number_rows
from pipeline.spec.record.keys import RecordKey, written_name

_RELEASE = ("release_id", "generation", "models")
_NUMBERS = {bool, int, float, ExactNumber}


@dataclass(frozen=True)
class CsvLayout:
    """The columns of CSV files of predictions.

    Attributes:
      outputs: column of a prediction -> shape of a row, () or (length,), if each value has a cell;
        None if a row is JSON text in one.
      pass_through: names under which predictions repeat values of the record.
    """

    outputs: Mapping[str, Shape | None]
    pass_through: tuple[str, ...] = ()

    @property
    def header(self) -> bytes:
        """The first line of each file."""
        return b",".join(_cells([name for name, _ in self.columns()])) + b"\n"

    def columns(self) -> Iterator[tuple[str, str]]:
        """The name of each column, and what it holds, in words for messages."""
        yield "id", "the record's id"
        for name, shape in self.outputs.items():
            if shape:
                for i in range(shape[0] or 0):
                    yield f"{name}_{i}", f"value {i} of output column '{name}'"
            else:
                yield name, f"output column '{name}'"
        for key in self.pass_through:
            yield key, f"'{key}' of `pass_through`"
        for name in _RELEASE:
            yield name, "the release"


def layout_of(
    output: Sequence[str],
    types: Mapping[str, tuple[str, Shape]],
    pass_through: Sequence[RecordKey] = (),
) -> CsvLayout:
    """The layout of predictions.

    Args:
      output: columns of a prediction, in order.
      types: column -> (dtype, shape of a row), as far as known.
      pass_through: keys that predictions repeat.

    Raises:
      SpecError: the type of an output is not known, or two columns have one name: all of them.
    """
    problems = [
        f"the shape of output column '{name}', which decides its columns in CSV, is not known "
        "before it is computed: its model has `warm_up: false` and declares no outputs"
        for name in output
        if name not in types
    ]
    shapes = {name: types[name][1] for name in output if name in types}
    layout = CsvLayout(
        {name: shape if _has_cells(shape) else None for name, shape in shapes.items()},
        tuple(map(written_name, dict.fromkeys(pass_through))),
    )
    holds: dict[str, str] = {}
    for name, what in layout.columns():
        if name in holds:
            problems.append(
                f"a CSV file would have two columns '{name}', {holds[name]} and {what}; rename "
                "one, or leave it out"
            )
        holds.setdefault(name, what)
    if problems:
        raise SpecError(problems)
    return layout


def _has_cells(shape: Shape) -> bool:
    return not shape or (len(shape) == 1 and bool(shape[0]))


def reject_misfits(batch: Batch, layout: CsvLayout) -> Batch:
    """The batch without rows of another shape than the header says.

    A model that declares no shapes may give others than at launch.
    """
    reasons: dict[int, tuple[str, str]] = {}
    for name, shape in layout.outputs.items():
        if shape is None:
            continue
        column = values_of(batch.columns[name])
        if not isinstance(column, Ragged) and column.shape[1:] == shape:
            continue
        present = presence_of(batch.columns[name])
        for i, row in enumerate(iterate(column)):
            if present[i] and row.shape != shape:
                reasons.setdefault(i, ("wrong_shape_output", _misfit(name, row, shape)))
    return batch.reject(reasons, stage="encode")


def _misfit(name: str, row: Array, shape: Shape) -> str:
    return (
        f"output column '{name}' has shape {list(row.shape)}, and {list(shape)} at launch, as the "
        "header of the CSV files says; --output_format=jsonl takes both"
    )


def predictions(batch: Batch, layout: CsvLayout) -> bytes:
    """The rows of a batch as lines of CSV.

    Args:
      batch: as `reject_misfits` leaves it; its output columns are finite and it carries its
        release.
      layout: of the file.
    """
    if not len(batch):
        return b""
    if batch.release is None:
        raise ValueError("a batch must carry its release before it can be encoded")
    fragments: list[Sequence[bytes]] = [_cells(batch.ids)]
    for name, shape in layout.outputs.items():
        fragments += _fragments(batch.columns[name], shape)
    if layout.pass_through:
        assert batch.pass_through is not None
        found = _objects(batch.pass_through)
        fragments += [_cells([one.get(key) for one in found]) for key in layout.pass_through]
    release = batch.release.as_json()
    last = b",".join(map(_cell, (release["id"], release["generation"], release["models"])))
    between = [b","] * (len(fragments) - 1)
    return join_columns([b"", *between, b"," + last + b"\n"], fragments)


def _fragments(column: BatchColumn, shape: Shape | None) -> list[Sequence[bytes]]:
    """The cells of a column, those of a vector of numbers as one fragment of each line."""
    if not isinstance(column, Masked):
        return _present_fragments(column, shape)
    # Placeholders may have another shape than the values.
    values = take(column.values, np.flatnonzero(column.present))
    made = _present_fragments(values, shape) if len(values) else [()]
    missing = b"," * (shape[0] - 1) if shape and shape[0] and len(made) == 1 else b""
    there = [iter(rows) for rows in made]
    return [[next(rows) if has else missing for has in column.present] for rows in there]


def _present_fragments(column: Column, shape: Shape | None) -> list[Sequence[bytes]]:
    if shape is None:
        return [list(map(_quoted, json_rows(column)))]
    if isinstance(column, Ragged):
        column = from_rows(column.rows)
    assert not isinstance(column, Ragged), "rows of another shape are rejects"
    if column.dtype.kind not in "OUS":
        return [number_rows(column)]
    if not shape:
        return [_cells(column.tolist())]
    return [_cells(values) for values in column.T.tolist()]


def _objects(texts: Sequence[bytes]) -> list[dict[str, Any]]:
    """What some JSON objects hold, their numbers as they are written."""
    joined = b"[%b]" % b",".join(texts)
    found: list[dict[str, Any]] = orjson.loads(joined)
    if orjson.dumps(found) != joined:  # orjson wrote them, but for numbers that it does not know
        found = exact_json(joined)
    return found


def _cells(values: Sequence[Any]) -> Sequence[bytes]:
    """The cells of plain values."""
    kinds = set(map(type, values))
    if type(None) in kinds:
        present = iter(_cells([value for value in values if value is not None]))
        return [b"" if value is None else next(present) for value in values]
    if kinds == {str}:
        text = orjson.dumps(values)
        if b"\\" not in text:  # so each is quoted as CSV does it, and no quote is inside of one
            cells = text[1:-1].split(b",")
            if len(cells) == len(values):  # nor is a comma
                return cells
            return [b'"%b"' % inner for inner in text[2:-2].split(b'","')]
    if kinds <= _NUMBERS:
        return as_json(list(values))[1:-1].split(b",")
    return list(map(_cell, values))


def _cell(value: Any) -> bytes:
    if isinstance(value, str):
        return _quoted(value.encode())
    if isinstance(value, bytes):
        return _quoted(base64.b64encode(value))
    if type(value) in _NUMBERS:
        return as_json(value)
    return _quoted(as_json(value))


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % text.replace(b'"', b'""')
