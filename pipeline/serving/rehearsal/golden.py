"""Examples that come with a model version: golden ones, with checked outputs, and warm-up ones.

They are files of JSON lines, ``golden.jsonl`` and ``warmup.jsonl``, in the folder of the version,
or in the folder of its file. Beside a file that shares its folder with other models, the file's
name comes first: ``forest.skops.golden.jsonl``. Each line is one row::

    {"inputs": {"x": [1, 2, 3, 4]}, "outputs": {"y": [0.5, 0.1]}, "tolerance": 1e-4}

Tensors have the model's names and no batch axis; ``bytes`` are base64 text; constants of the
ensemble file are not named. Not every output needs to be. A golden example fails when an output has
another shape, is not finite, or differs from the expected value by more than ``tolerance``, or
``tolerance`` times that value where it is beyond 1 or -1; by default 0.0001, and 0.02 for a model
with ``precision: half``. A warm-up example has inputs only, and fails when an output is not finite.
Each is computed by itself, and together with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import orjson

from pipeline.backends.base import Servable
from pipeline.backends.reasons import with_type
from pipeline.batch import columns, rounding
from pipeline.batch.columns import Array, BatchColumn, Masked
from pipeline.batch.names import some
from pipeline.batch.tensors import describe, dtype_name, placeholders
from pipeline.errors import ModelError, ProcessLostError, RecordError
from pipeline.formats.fields import FieldDecoder
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import ModelSpec
from pipeline.spec.plain_data import check_keys_once, shown
from pipeline.spec.record import DTypeName, FieldSpec

GOLDEN = "golden.jsonl"
WARM_UP = "warmup.jsonl"
_CUT = 200
_TOGETHER = 64
"""Most examples that are computed together, where the model does not set fewer."""


@dataclass(frozen=True)
class Example:
    """One line.

    Attributes:
      where: the file's name and the line, for messages.
      inputs: tensor -> value as JSON has it.
      outputs: tensor -> expected value; empty for a warm-up example.
      tolerance: see the module.
    """

    where: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = rounding.FULL


def parse(text: str, kind: str, spec: ModelSpec) -> list[Example]:
    """The examples of a file.

    Args:
      text: its content; empty lines do not count.
      kind: GOLDEN or WARM_UP.
      spec: the model's entry in the ensemble file.

    Raises:
      ModelError: a line is not an example of this model; names the line.
    """
    examples = [
        _example(line, f"{kind} line {number}", kind, spec)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not examples:
        raise ModelError(f"{kind} holds no example, expected one a line")
    return examples


def check(
    examples: Sequence[Example], spec: ModelSpec, servable: Servable, fed: Mapping[str, str]
) -> None:
    """Runs examples, one at a time and then together.

    Together they are not run for a model with ``independent_rows: false``; and no row is at fault
    where a model cannot take them together at all.

    Args:
      examples: made by `parse`.
      spec: the model's entry in the ensemble file.
      servable: the model.
      fed: tensor -> dtype of what the graph feeds it, for tensors whose dtype the model does not
        declare.

    Raises:
      ModelError: examples that cannot be run or have other outputs. Tells the first of them, and
        how many there are.
    """
    fields = _fields(spec, servable, fed)
    step = step_of(spec)
    problems = []
    for example in examples:
        problem = next(_problems(example, step, servable, fields), None)
        if problem is not None:
            problems.append(f"{example.where}: {problem}")
    if not problems and spec.independent_rows:
        most = min(spec.max_batch_size or _TOGETHER, _TOGETHER)
        for start in range(0, len(examples), most):
            part = examples[start : start + most]
            problems += _problems_together(part, step, servable, fields)
    if problems:
        count = f" ({len(problems)} of {len(examples)} examples fail)" if len(examples) > 1 else ""
        raise ModelError(problems[0] + count)


def rows_of(
    examples: Sequence[Example],
    spec: ModelSpec,
    servable: Servable,
    fed: Mapping[str, str],
    most: int,
) -> dict[str, BatchColumn] | None:
    """Different inputs of the first examples, for the model's `step_of`.

    Args:
      examples: golden ones, warm-up ones or both.
      spec: see `check`.
      servable: see `check`.
      fed: see `check`.
      most: how many at most.

    Returns:
      tensor -> column; None where they are fewer than two, or one of them does not fit.
    """
    different = {orjson.dumps(dict(e.inputs), option=orjson.OPT_SORT_KEYS): e for e in examples}
    chosen = list(different.values())[:most]
    if len(chosen) < 2:
        return None
    try:
        return _columns(chosen, _fields(spec, servable, fed))
    except RecordError:
        return None


def step_of(spec: ModelSpec) -> ModelStep:
    """The model's step, with a column of its own for each tensor."""
    own = {t: binding.model_copy(update={"column": t}) for t, binding in spec.column_inputs.items()}
    return ModelStep(spec.model_copy(update={"inputs": {**spec.inputs, **own}}))


def _example(line: str, where: str, kind: str, spec: ModelSpec) -> Example:
    try:
        data = orjson.loads(line)
        check_keys_once(line)
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{where} is not JSON: {error}") from error
    except ValueError as error:
        raise ModelError(f"{where}: {error}") from error
    keys = ("inputs", "outputs", "tolerance") if kind == GOLDEN else ("inputs",)
    if not isinstance(data, dict) or not set(data) <= set(keys):
        raise ModelError(f"{where} is {shown(data)}, expected an object with {', '.join(keys)}")
    inputs, outputs = data.get("inputs"), data.get("outputs")
    wanted = list(spec.column_inputs)
    if not isinstance(inputs, dict) or set(inputs) != set(wanted):
        raise ModelError(
            f"{where}: 'inputs' is {shown(inputs)}, expected the tensors {some(wanted)}"
        )
    if kind == WARM_UP:
        return Example(where, inputs)
    if not isinstance(outputs, dict) or not outputs or not set(outputs) <= set(spec.outputs):
        raise ModelError(
            f"{where}: 'outputs' is {shown(outputs)}, expected some of {some(spec.outputs)}"
        )
    default = rounding.HALF if spec.precision == "half" else rounding.FULL
    tolerance = data.get("tolerance", default)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or tolerance < 0:
        raise ModelError(f"{where}: 'tolerance' is {shown(tolerance)}, expected a number from 0 up")
    return Example(where, inputs, outputs, float(tolerance))


def _fields(spec: ModelSpec, servable: Servable, fed: Mapping[str, str]) -> dict[str, FieldSpec]:
    """Tensor -> its dtype, and whether it may lack values."""
    declared = {tensor.name: tensor.dtype for tensor in servable.signature.inputs or ()}
    return {
        tensor: _field(
            declared.get(tensor) or fed.get(tensor, "float32"), may_lack=spec.takes_missing
        )
        for tensor in spec.column_inputs
    }


def _columns(
    examples: Sequence[Example], fields: Mapping[str, FieldSpec]
) -> dict[str, BatchColumn]:
    """The inputs of some examples.

    Raises:
      RecordError: a value is not of the tensor's dtype, or not rectangular.
    """
    return {
        tensor: _column([_row(tensor, e.inputs[tensor], field) for e in examples], field)
        for tensor, field in fields.items()
    }


def _column(rows: Sequence[Array | None], field: FieldSpec) -> BatchColumn:
    """The rows as a column; None is a row without a value."""
    there = [row for row in rows if row is not None]
    if len(there) == len(rows):
        return columns.from_rows(there)
    present = np.array([row is not None for row in rows], dtype=bool)
    if not there:
        return Masked(placeholders(field.dtype, (), len(rows)), present)
    return columns.spread(columns.from_rows(there), present)


def _problems(
    example: Example, step: ModelStep, servable: Servable, fields: Mapping[str, FieldSpec]
) -> Iterator[str]:
    try:
        inputs = _columns([example], fields)
    except RecordError as error:
        yield str(error)
        return
    try:
        outputs = step.compute(inputs, np.arange(1), servable)
    except Exception as error:
        yield f"the model fails: {with_type(error)}"
        return
    row = {tensor: next(iter(columns.iterate(column))) for tensor, column in outputs.items()}
    yield from _mismatches(example, row)


def _problems_together(
    examples: Sequence[Example],
    step: ModelStep,
    servable: Servable,
    fields: Mapping[str, FieldSpec],
) -> Iterator[str]:
    """One for each of the examples that pass by themselves, but not with the others."""
    if len(examples) < 2:
        return
    try:
        outputs = step.compute(_columns(examples, fields), np.arange(len(examples)), servable)
    except ProcessLostError:
        raise
    except Exception:
        return  # calls of records are split then
    rows = {tensor: list(columns.iterate(column)) for tensor, column in outputs.items()}
    for number, example in enumerate(examples):
        row = {tensor: values[number] for tensor, values in rows.items()}
        if (problem := next(_mismatches(example, row), None)) is not None:
            others = len(examples) - 1
            yield f"{example.where}, computed together with {others} more: {problem}"


def _mismatches(example: Example, row: Mapping[str, Array]) -> Iterator[str]:
    """What is wrong with the outputs of an example."""
    for tensor, found in row.items():
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            yield f"output '{tensor}' holds NaN or infinity"
        elif tensor in example.outputs:
            difference = _difference(
                tensor, found, example.outputs[tensor], tolerance=example.tolerance
            )
            if difference is not None:
                yield difference


def _difference(tensor: str, found: Array, value: Any, *, tolerance: float) -> str | None:
    """How an output differs from the expected value; None where it does not."""
    dtype = dtype_name(found)
    numeric = found.dtype.kind in "iuf"
    try:
        expected = _array(tensor, value, "float64" if numeric else dtype)
    except RecordError as error:
        return f"{error}, as the model returns {describe(dtype, found.shape)}"
    if not expected.size and not found.size and len(expected) == len(found):
        return None  # nothing found, as expected; an empty list does not say of what
    if expected.shape != found.shape:
        return (
            f"output '{tensor}' has shape {list(found.shape)}, expected {list(expected.shape)} as "
            "in the example"
        )
    if not numeric:
        same = found.tolist() == expected.tolist()
        if same:
            return None
        return f"output '{tensor}' is {_cut(found.tolist())}, expected {_cut(value)}"
    place = rounding.worst(found, expected, tolerance)
    if place is None:
        return None
    apart = abs(float(found[place]) - float(expected[place]))
    return (
        f"output '{tensor}' differs by {apart:.6g} at most: found {found[place]:.6g}, "
        f"expected {expected[place]:.6g}, tolerance {tolerance:.6g}"
    )


def _array(tensor: str, value: Any, dtype: str) -> Array:
    """A JSON value as an array.

    Raises:
      RecordError: it is not of this dtype, or not rectangular.
    """
    row = _row(tensor, value, _field(dtype, may_lack=False))
    assert row is not None  # see `may_lack`
    return row


def _field(dtype: str, *, may_lack: bool) -> FieldSpec:
    return FieldSpec(dtype=cast(DTypeName, dtype), missing="keep" if may_lack else "dead_letter")


def _row(tensor: str, value: Any, field: FieldSpec) -> Array | None:
    """A JSON value as an array of its own shape; None where it is null and may be."""
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    try:
        return FieldDecoder(tensor, field.model_copy(update={"shape": tuple(shape)})).row(value)
    except RecordError as error:
        raise RecordError(error.kind, "tensor" + str(error).removeprefix("field")) from None


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _CUT else f"{text[:_CUT]}..."
