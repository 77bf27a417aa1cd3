"""The rehearsal: a release goes once through the whole graph, before it serves.

What the models declare is compared with what the graph feeds them; then a few rows go through every
step and model, so that a shape or a type that cannot work is found before the first record, with
the names of both ends, also where a format declares nothing. And it is seen whether a model gives a
row the same in any company (:mod:`pipeline.serving.rehearsal.company`).

The rows are the first records of the job's input, where it has some at launch, else made up. What a
model rejects of those it gets as zeros, empty text or black images. In another company are put the
examples that come with its version, where there are some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.backends.base import Servable
from pipeline.backends.failures import rejects_values
from pipeline.backends.reasons import with_type
from pipeline.batch import columns
from pipeline.batch.columns import BatchColumn, Column, Masked, Ragged, masked_like
from pipeline.batch.release import ModelVersion, Release
from pipeline.batch.tensors import (
    Shape,
    Signature,
    dtype_name,
)
from pipeline.errors import EnsembleError, ModelError, ProcessLostError, RowsError
from pipeline.ops.step import apply, check_ready
from pipeline.readable import logger
from pipeline.serving.rehearsal import golden, made_up
from pipeline.serving.rehearsal.company import Company, LoneRowError
from pipeline.serving.rehearsal.label_counts import odd_counts
from pipeline.serving.rehearsal.made_up import ROWS
from pipeline.serving.rehearsal.misfits import misfits
from pipeline.serving.rehearsal.missing_values import missing_values_problem
from pipeline.serving.release_manager import ReleaseManager
from pipeline.serving.step.model_step import ModelStep, rounding_of
from pipeline.spec.column_types import Type
from pipeline.spec.graph import Graph
from pipeline.spec.model import ColumnInput, ModelSpec
from pipeline.spec.row_limits import DEFAULT_ROWS

_LOGGER = logger(__name__)


def _no_examples(version: ModelVersion) -> Sequence[golden.Example]:
    return ()


@dataclass(frozen=True)
class Comparison:
    """How a release is tried: on the same rows wherever a job does it.

    Attributes:
      call_rows: most rows of a call, where a model sets none itself.
      records: the columns of some records behind the prepare steps; empty where none are known.
      examples: finds those that come with a version.
      in_company: whether rows are compared in other company, as launch and gate do, once.
      given: columns of models that are not tried but known from elsewhere.
      runs: whether rows go through the models; else what they declare is compared only.
    """

    call_rows: int = DEFAULT_ROWS
    records: Mapping[str, BatchColumn] = field(default_factory=dict)
    examples: Callable[[ModelVersion], Sequence[golden.Example]] = _no_examples
    in_company: bool = True
    given: Mapping[str, BatchColumn] = field(default_factory=dict)
    runs: bool = True


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
      columns: column -> ROWS rows, or what became of them.
      unknown: what could not be compared, in sentences that begin with ``model 'NAME'``.
      made_up: the rows are no records.
    """

    models: dict[str, ModelFacts] = field(default_factory=dict)
    types: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    columns: dict[str, BatchColumn] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    made_up: bool = True

    def add(self, name: str, column: BatchColumn, declared: Shape | None = None) -> None:
        """Records a column; `declared` is its row shape where the example does not tell it all.

        Lists that are empty, since nothing is found in made-up rows, are no example of those to
        come: others are made up.
        """
        values = columns.values_of(column)
        rows = list(columns.iterate(values))
        like = next((row for row in rows if row.size), rows[0])
        dtype, shape = dtype_name(like), declared
        if shape is None:
            ragged = isinstance(values, Ragged)
            lengths = [{row.shape[axis] for row in rows} for axis in range(like.ndim)]
            shape = tuple(
                None if (ragged and axis == 0) or len(found) > 1 or found == {0} else found.pop()
                for axis, found in enumerate(lengths)
            )
        self.types[name] = (dtype, shape)
        usable = isinstance(column, Masked) or all(row.size for row in rows)
        self.columns[name] = column if usable else made_up.zeros(dtype, shape)


def rehearse(
    graph: Graph,
    release: Release,
    manager: ReleaseManager,
    progress: Callable[[str], None] = lambda message: None,
    comparison: Comparison = Comparison(),  # immutable
) -> Rehearsal:
    """Loads every model of `release` and runs some rows through the graph.

    Args:
      graph: the ensemble.
      release: what to try.
      manager: loads the models, and keeps them for the records to come.
      progress: told what is being loaded.
      comparison: how to try it.

    Raises:
      ModelError: models that cannot be loaded, do not fit the graph, fail on the rows or give them
        something else in other company: all of them, in one error.
    """
    rehearsal, problems = attempt(graph, release, manager, progress, comparison)
    if problems:
        raise ModelError(problems)
    for warning in odd_counts(graph, rehearsal.types) if comparison.in_company else ():
        _LOGGER.warning("%s", warning)
    return rehearsal


def attempt(
    graph: Graph,
    release: Release,
    manager: ReleaseManager,
    progress: Callable[[str], None] = lambda message: None,
    comparison: Comparison = Comparison(),  # immutable
) -> tuple[Rehearsal, list[str]]:
    """As `rehearse`, but what works is learnt all the same; the problems come beside it.

    A problem of a model begins with ``model 'NAME'``.
    """
    rehearsal = Rehearsal()
    problems: list[str] = []
    _prepare(graph, rehearsal, comparison.records)
    for position, model in enumerate(graph.models, start=1):
        where = f"model '{model.name}'"
        if given := comparison.given.keys() & set(model.columns_written()):
            for name in given:
                rehearsal.add(name, comparison.given[name])
            continue
        progress(f"loading {where} ({model.framework}), {position} of {len(graph.models)}")
        try:
            with manager.use(release, model.name) as servable:
                rehearsal.models[model.name] = ModelFacts(
                    servable.signature, servable.device, servable.size_bytes
                )
                found, unknown = misfits(model, servable, graph, rehearsal.types)
                rehearsal.unknown.extend(unknown)
                problems += found or _run_model(
                    model, release.version_of(model.name), servable, graph, rehearsal, comparison
                )
        except EnsembleError as error:
            problems.append(f"{where}: {error}")
    for step in graph.combine:
        if all(column in rehearsal.columns for column in step.columns_read()):
            try:
                for name, column in apply(step, rehearsal.columns).items():
                    rehearsal.add(name, column)
            except ValueError as error:
                problems.append(str(error))
            except RowsError:
                pass  # made-up rows need not have a label; real ones are looked at one by one
    return rehearsal, problems


def _prepare(graph: Graph, rehearsal: Rehearsal, records: Mapping[str, BatchColumn]) -> None:
    """The columns of the record and of the prepare steps: made up, and those of records instead.

    What a step cannot make of made-up rows is made up, too: its type is known.
    """
    for name, spec in graph.spec.record.fields.items():
        rehearsal.add(name, _different(name, (spec.dtype, spec.shape), graph), spec.shape)
    for step in graph.prepare:
        check_ready(step)
        try:
            made = apply(step, rehearsal.columns)
        except RowsError:
            made = {}  # made-up bytes are no image, and made-up text need not be a number
        for name in step.columns_written():
            usable = name in made and made[name].nbytes
            rows = made[name] if usable else _different(name, graph.types[name], graph)
            rehearsal.add(name, rows, graph.types[name][1])
    count = len(next(iter(records.values()))) if records else 0
    if count > 1:  # one alone has no company
        rehearsal.made_up = False
        for name, column in records.items():
            rows = columns.take(column, np.arange(ROWS) % count)
            rehearsal.add(name, rows, graph.types[name][1])


def _different(name: str, of_type: Type, graph: Graph) -> BatchColumn:
    """Made-up rows, masked where the column may lack values: none of them does."""
    rows = made_up.different(name, *of_type)
    return Masked(rows, np.ones(len(rows), dtype=bool)) if graph.gaps[name] else rows


def _run_model(
    model: ModelSpec,
    version: ModelVersion,
    servable: Servable,
    graph: Graph,
    rehearsal: Rehearsal,
    comparison: Comparison,
) -> list[str]:
    """Runs the rows; returns what went wrong."""
    if not all(column in rehearsal.columns for column in model.columns_read()):
        return []  # what it reads could not be made; the reason has been given there
    most = model.max_batch_size or comparison.call_rows
    step = ModelStep(model, sparse=graph.sparse)
    errors: list[Exception] = []
    company = None
    for chosen in _choices(model, servable, rehearsal) if comparison.runs else ():
        tried = Company(step, servable, chosen, most)
        try:
            outputs = tried.together()
        except ProcessLostError:
            raise
        except Exception as error:
            errors.append(error)
        else:
            company = tried
            break
    if company is not None:
        servable.sound_row = {name: columns.take(c, np.array([0])) for name, c in chosen.items()}
    if company is None and model.warm_up and comparison.runs:
        return [_failure(model, rehearsal, errors)]
    declared = {tensor.name: tensor for tensor in servable.signature.outputs or ()}
    for name, column in model.outputs.items():
        tensor = declared.get(name)
        if company is not None:
            rehearsal.add(column, outputs[name], tensor.row_shape if tensor else None)
        elif tensor and tensor.dtype and tensor.row_shape is not None:
            dtype = "bytes" if name in model.bytes_outputs else tensor.dtype
            rehearsal.add(column, made_up.zeros(dtype, tensor.row_shape), tensor.row_shape)
    if not comparison.runs:
        return []
    problem = _problem(model, version, servable, rehearsal, company, most, comparison)
    if problem is None and company is not None and comparison.in_company:
        # There is a row for each column that may lack values, of which there may be thousands.
        at_once = 1 if company.at_once == 1 else most
        problem = missing_values_problem(model, servable, graph, chosen, at_once)
    if model.warm_up:
        _warm_up(model, servable, step, chosen)
    return [f"model '{model.name}' {problem}"] if problem else []


def _choices(
    model: ModelSpec, servable: Servable, rehearsal: Rehearsal
) -> Iterator[Mapping[str, BatchColumn]]:
    """Rows to try a model with, the likeliest to be sound first; records only without warm-up."""
    read = model.columns_read()
    types = {column: rehearsal.types[column] for column in read}
    given = {column: rehearsal.columns[column] for column in read}

    def alike(made: Mapping[str, Column]) -> dict[str, BatchColumn]:
        return {name: masked_like(given[name], column) for name, column in made.items()}

    known = alike(made_up.known_values(model, servable.signature))
    usual = made_up.usual_shapes(model, servable.signature)
    types |= {column: (types[column][0], shape) for column, shape in usual.items()}
    different = alike({c: made_up.different(c, *t) for c, t in types.items()}) | known
    if rehearsal.made_up:
        made = {**given, **{column: different[column] for column in usual}, **known}
    else:
        yield given
        made = different
    if not model.warm_up:
        return
    # An index beyond a vocabulary would break a GPU for the whole process.
    yield made if servable.device == "cpu" else made_up.without_integers(made)
    yield alike({c: made_up.zeros(*t) for c, t in types.items()})


def _failure(model: ModelSpec, rehearsal: Rehearsal, errors: Sequence[Exception]) -> str:
    rows = "made-up rows" if rehearsal.made_up else "the first records and on made-up rows"
    hint = " (if it rightly rejects such rows, set `warm_up: false` on the model)"
    return (
        f"model '{model.name}' fails on {rows}, also of zeros and empty text: "
        f"{with_type(errors[-1])}{hint if rejects_values(errors) else ''}"
    )


def _problem(
    model: ModelSpec,
    version: ModelVersion,
    servable: Servable,
    rehearsal: Rehearsal,
    company: Company | None,
    most: int,
    comparison: Comparison,
) -> str | None:
    """What is wrong with the outputs of rows in other company, of `company` or of examples."""
    try:
        if company is not None:
            company.alone()
        if not (comparison.in_company and model.independent_rows):
            return None
        rows = golden.rows_of(
            comparison.examples(version), model, servable, fed(model, rehearsal), ROWS
        )
        if rows is not None:
            step = golden.step_of(model)
            examples = Company(step, servable, rows, company.at_once if company else most)
            try:
                examples.together()
                examples.alone()
            except ProcessLostError:
                raise
            except Exception as error:
                # Of a new version, the check of its examples tells which fails; one that was
                # accepted is not refused for what another model's release asks it once more.
                _LOGGER.warning(
                    "model '%s': its examples are not compared in other company, since it fails "
                    "on them (%s); made-up rows are",
                    model.name,
                    with_type(error),
                )
            else:
                company = examples
    except LoneRowError as error:
        return str(error)
    try:
        return company.problem(rounding_of(model, servable)) if company else None
    except ProcessLostError:
        raise
    except Exception as error:
        return f"fails when it is called again: {with_type(error)}"


def fed(model: ModelSpec, rehearsal: Rehearsal) -> dict[str, str]:
    """Tensor -> dtype of what the graph feeds it, where that is known."""
    return {
        tensor: rehearsal.types[binding.column][0]
        for tensor, binding in model.inputs.items()
        if isinstance(binding, ColumnInput) and binding.column in rehearsal.types
    }


def _warm_up(
    model: ModelSpec, servable: Servable, step: ModelStep, available: Mapping[str, BatchColumn]
) -> None:
    """Further calls that the framework needs before records come.

    One that fails is no fault of the model: where memory or the model itself sets a limit, larger
    calls are split.

    Raises:
      ProcessLostError: see ModelStep.
    """
    for rows in servable.warm_up_rows:
        try:
            step.compute(available, np.arange(rows) % ROWS, servable)
        except ProcessLostError:
            raise
        except Exception as error:
            _LOGGER.warning(
                "model '%s' cannot be warmed up for calls of %d rows, which will be split; "
                "`max_batch_size` keeps calls small (%s)",
                model.name,
                rows,
                with_type(error),
            )
            return
