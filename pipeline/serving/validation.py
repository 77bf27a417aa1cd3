"""The rehearsal: a release goes once through the whole graph on made-up rows, before it serves.

What the models declare is compared with what the graph feeds them; then two rows of zeros (or empty
text, or black images) go through every step and model, so that a shape or a type that cannot
work is found before the first record, with the names of both ends, also where a format declares
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.backends.base import Servable
from pipeline.backends.reasons import own_words, with_type
from pipeline.core import casts, columns, combine, prepare
from pipeline.core.columns import Array, Column, Ragged
from pipeline.core.feature_order import FeatureOrder
from pipeline.core.graph import Graph
from pipeline.core.model_spec import ColumnInput, ConstantInput, ModelSpec
from pipeline.core.release import Release
from pipeline.core.tensors import (
    Shape,
    Signature,
    describe,
    dtype_fits,
    dtype_name,
    numpy_dtype,
    shape_fits,
)
from pipeline.errors import EnsembleError, ModelError, ProcessLostError, RowsError
from pipeline.serving.model_step import ModelStep
from pipeline.serving.release_manager import ReleaseManager

_LOGGER = logging.getLogger(__name__)

_ROWS = 2
_VARIABLE_AXIS = 8
"""Length given to an axis that may vary."""


@dataclass(frozen=True)
class ModelFacts:
    """What a servable says of itself. It outlives the servable, and does not hold it.

    Attributes:
      signature, device, size_bytes: see Servable.
    """

    signature: Signature
    device: str
    size_bytes: int


@dataclass
class Rehearsal:
    """What was learnt of the graph. Holds no servable: a job keeps it for as long as it runs.

    Attributes:
      models: model -> what its servable says.
      types: column -> (dtype, shape of a row); columns that could not be rehearsed are absent.
      columns: column -> the made-up rows, or what became of them.
      unknown: what could not be compared, in sentences that begin with ``model 'NAME'``.
    """

    models: dict[str, ModelFacts] = field(default_factory=dict)
    types: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, name: str, column: Column, declared: Shape | None = None) -> None:
        """Records a column; `declared` is its row shape where the example does not tell it all.

        Lists that are empty, since nothing is found in made-up rows, are no example of those to
        come: others are made up.
        """
        rows = list(columns.iterate(column))
        like = next((row for row in rows if row.size), rows[0])
        dtype, shape = dtype_name(like), declared
        if shape is None:
            ragged = isinstance(column, Ragged)
            lengths = [{row.shape[axis] for row in rows} for axis in range(like.ndim)]
            shape = tuple(
                None if (ragged and axis == 0) or len(found) > 1 or found == {0} else found.pop()
                for axis, found in enumerate(lengths)
            )
        self.types[name] = (dtype, shape)
        self.columns[name] = column if all(r.size for r in rows) else _made_up(dtype, shape)


def rehearse(
    graph: Graph,
    release: Release,
    manager: ReleaseManager,
    progress: Callable[[str], None] = lambda message: None,
) -> Rehearsal:
    """Loads every model of `release` and runs two made-up rows through the graph.

    Args:
      graph: the ensemble.
      release: what to try.
      manager: loads the models, and keeps them for the records to come.
      progress: told what is being loaded.

    Raises:
      ModelError: models that cannot be loaded, do not fit the graph or fail on the rows: all of
        them, in one error.
    """
    rehearsal, problems = attempt(graph, release, manager, progress)
    if problems:
        raise ModelError(problems)
    return rehearsal


def attempt(
    graph: Graph,
    release: Release,
    manager: ReleaseManager,
    progress: Callable[[str], None] = lambda message: None,
) -> tuple[Rehearsal, list[str]]:
    """As `rehearse`, but what works is learnt all the same; the problems come beside it.

    A problem of a model begins with ``model 'NAME'``.
    """
    rehearsal = Rehearsal()
    problems: list[str] = []
    _prepare(graph, rehearsal)
    for position, model in enumerate(graph.models, start=1):
        where = f"model '{model.name}'"
        progress(f"loading {where} ({model.framework}), {position} of {len(graph.models)}")
        try:
            with manager.use(release, model.name) as servable:
                rehearsal.models[model.name] = ModelFacts(
                    servable.signature, servable.device, servable.size_bytes
                )
                problems += _misfits(model, servable, graph, rehearsal) or _run_model(
                    model, servable, rehearsal
                )
        except EnsembleError as error:
            problems.append(f"{where}: {error}")
    for step in graph.combine:
        if all(column in rehearsal.columns for column in step.columns_read()):
            try:
                for name, column in combine.apply(step, rehearsal.columns).items():
                    rehearsal.add(name, column)
            except ValueError as error:
                problems.append(str(error))
            except RowsError:
                pass  # made-up rows need not have a label; real ones are looked at one by one
    return rehearsal, problems


def _prepare(graph: Graph, rehearsal: Rehearsal) -> None:
    """Makes up the columns of the record, and runs the prepare steps on them.

    What a step cannot make of them is made up, too: its type is known.
    """
    for name, spec in graph.spec.record.fields.items():
        rehearsal.add(name, _made_up(spec.dtype, spec.shape), spec.shape)
    for step in graph.prepare:
        prepare.check_ready(step)
        try:
            made = prepare.apply(step, rehearsal.columns)
        except RowsError:
            made = {}  # made-up bytes are no image, and made-up text need not be a number
        for name in step.columns_written():
            dtype, shape = graph.types[name]
            usable = name in made and made[name].nbytes
            rehearsal.add(name, made[name] if usable else _made_up(dtype, shape), shape)


def _made_up(dtype: str, row_shape: Shape) -> Array:
    shape = (_ROWS, *(_VARIABLE_AXIS if n is None else n for n in row_shape))
    if dtype in ("string", "bytes"):
        return np.full(shape, "" if dtype == "string" else b"", dtype=object)
    return np.zeros(shape, dtype=numpy_dtype(dtype))


def _misfits(model: ModelSpec, servable: Servable, graph: Graph, rehearsal: Rehearsal) -> list[str]:
    """Where what the model declares of its inputs is not what the graph feeds them."""
    problems = []
    for tensor in servable.signature.inputs or ():
        binding = model.inputs.get(tensor.name)
        where = f"model '{model.name}' input '{tensor.name}'"
        if isinstance(binding, ConstantInput):
            value = binding.array()
            if not (
                dtype_fits(binding.dtype, tensor.dtype) and shape_fits(value.shape, tensor.dims)
            ):
                problems.append(
                    f"{where} takes {describe(tensor.dtype, tensor.dims)} (no batch axis), "
                    f"but the constant is {describe(binding.dtype, value.shape)}"
                )
            elif lost := _lost_constants(value, tensor.dtype):
                problems.append(f"{where}: the constant holds {lost}, not what {tensor.dtype} can")
        elif isinstance(binding, ColumnInput) and binding.column in rehearsal.types:
            dtype, shape = rehearsal.types[binding.column]
            order = FeatureOrder(tensor.features or (), binding.column, graph, rehearsal.types)
            if not (dtype_fits(dtype, tensor.dtype) and shape_fits(shape, tensor.row_shape)):
                problems.append(
                    f"{where} takes {describe(tensor.dtype, tensor.row_shape)}, but column "
                    f"'{binding.column}' of {graph.producers[binding.column]} is "
                    f"{describe(dtype, shape)}{order.advice}"
                )
            elif order.clash:
                problems.append(f"{where} takes {order.clash}{order.advice}")
            elif order.unknown:
                rehearsal.unknown.append(f"{where}: {order.unknown}")
    return problems


def _lost_constants(value: Array, dtype: str | None) -> list[Any]:
    """The numbers of a constant that a tensor cannot hold."""
    if dtype is None or value.dtype.kind == "O":
        return []
    lost = casts.lost(value, dtype)
    return [] if lost is None else value[lost].tolist()


def _run_model(model: ModelSpec, servable: Servable, rehearsal: Rehearsal) -> list[str]:
    """Runs the made-up rows; returns what went wrong."""
    if not all(column in rehearsal.columns for column in model.columns_read()):
        return []  # what it reads could not be made; the reason has been given there
    declared = {tensor.name: tensor for tensor in servable.signature.outputs or ()}
    if not model.warm_up:
        for name, column in model.outputs.items():
            tensor = declared.get(name)
            if tensor and tensor.dtype and tensor.row_shape is not None:
                dtype = "bytes" if name in model.bytes_outputs else tensor.dtype
                made_up = _made_up(dtype, tensor.row_shape)
                rehearsal.add(column, made_up, tensor.row_shape)
        return []
    try:
        step = ModelStep(model)
        outputs = step.compute(rehearsal.columns, np.arange(_ROWS), servable)
    except Exception as error:
        return [
            f"model '{model.name}' fails on {_ROWS} made-up rows of zeros or empty text: "
            f"{with_type(error)}\n"
            "  (if it rightly rejects such rows, set `warm_up: false` on the model)"
        ]
    for name, column in model.outputs.items():
        tensor = declared.get(name)
        rehearsal.add(column, outputs[name], tensor.row_shape if tensor else None)
    _warm_up(model, servable, step, rehearsal)
    return []


def _warm_up(model: ModelSpec, servable: Servable, step: ModelStep, rehearsal: Rehearsal) -> None:
    """Further calls that the framework needs before records come.

    One that fails is no fault of the model: where memory or the model itself sets a limit, larger
    calls are split.

    Raises:
      ProcessLostError: see ModelStep.
    """
    for rows in servable.warm_up_rows:
        try:
            step.compute(rehearsal.columns, np.arange(rows) % _ROWS, servable)
        except ProcessLostError:
            raise
        except Exception as error:
            _LOGGER.warning(
                "model '%s' cannot be warmed up for calls of %d rows, which will be split; "
                "`max_batch_size` keeps calls small (%s: %s)",
                model.name,
                rows,
                type(error).__name__,
                own_words(error),
            )
            return
