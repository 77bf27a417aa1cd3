"""Input files and prediction files, compared with the ensemble before a job starts.

And the first records, on which its models are tried.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.batch import columns
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Array, BatchColumn
from pipeline.batch.tensors import Shape
from pipeline.connectors.files import input_checks
from pipeline.errors import LaunchError, PathError, SpecError
from pipeline.formats.csv.encoder import layout_of
from pipeline.formats.registry import format_of
from pipeline.formats.table_encoder import RESERVED
from pipeline.launch.first_records import first_batch
from pipeline.launch.settings import Inputs
from pipeline.ops.batches import prepare_batch
from pipeline.readable import logger
from pipeline.serving.rehearsal.made_up import ROWS
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import Graph

_LOGGER = logger(__name__)

_SAMPLE = 8
"""Records among which some will differ."""
_SAMPLE_BYTES = 2**20
"""Most that the sample takes, pickled: each step of a job carries it to the workers."""


def problems(inputs: Inputs, output_format: str, spec: EnsembleSpec) -> Iterator[str]:
    """What is wrong with the formats of files, by parameter."""
    if output_format == "parquet":
        for name in spec.output_columns():
            if name in RESERVED:
                yield (
                    f"--output_format: parquet has a column '{name}' of its own; output column "
                    f"'{name}' needs another name"
                )
    if spec.record.whole_files:
        chosen = f"`source: {spec.record.source}`"
        if inputs.input_format != "auto":
            yield f"--input_format={inputs.input_format} does not go with {chosen}"
        for name, source in (
            ("input_subscription", inputs.input_subscription),
            ("input_topic", inputs.input_topic),
            ("input_table", inputs.input_table),
            ("input_query", inputs.input_query),
        ):
            if source:
                yield (
                    f"--{name} does not go with {chosen}, whose records are files; expected "
                    "--input_file_pattern, or their content as base64 in a field of dtype bytes"
                )
        return
    raw_problem = format_of("", inputs.input_format).raw_problem
    if spec.record.source == "raw" and raw_problem:
        yield f"--input_format={inputs.input_format}: {raw_problem}"
        return
    if inputs.input_file_pattern and not inputs.streaming:
        try:
            for problem in input_checks.problems(
                inputs.input_file_pattern, inputs.input_format, spec.record, spec.pass_through
            ):
                yield f"--input_file_pattern: {problem}"
        except PathError:
            return  # told by the checks of the paths themselves


def check_columns(output_format: str, graph: Graph, types: Mapping[str, tuple[str, Shape]]) -> None:
    """Makes sure that prediction files can have a column for each value.

    Args:
      output_format: of the job.
      graph: the ensemble.
      types: column -> (dtype, shape of a row), as far as known.

    Raises:
      LaunchError: some columns have one name, or are not known.
    """
    if output_format != "csv":
        return
    try:
        layout_of(graph.output, types, graph.spec.pass_through)
    except SpecError as error:
        problems = [f"--output_format=csv: {problem}" for problem in error.problems]
        raise LaunchError(problems) from None


def sample(inputs: Inputs, graph: Graph) -> Mapping[str, BatchColumn]:
    """The columns of the first records that differ, behind the prepare steps.

    Two at least, since one alone has no company. Empty where the job reads no files, none of them
    has two such records now, or two are too large: what is wrong with them is told elsewhere, or
    costs these records alone.
    """
    if not inputs.input_file_pattern:
        return {}
    spec = graph.spec
    try:
        batch = first_batch(inputs.input_file_pattern, inputs.input_format, spec.record, _SAMPLE)
        if batch is None:
            return {}
        batch = next(prepare_batch(batch, graph.prepare, graph.read_after_prepare))
    except Exception as error:
        _LOGGER.debug("no records to try the models with: %s", error)
        return {}
    rows = _different(batch)
    for count in range(min(len(rows), ROWS), 1, -1):
        taken = {name: columns.take(c, rows[:count]) for name, c in batch.columns.items()}
        if len(pickle.dumps(taken)) <= _SAMPLE_BYTES:
            return taken
    return {}


def _different(batch: Batch) -> Array:
    """The rows that are not the same as an earlier one."""
    seen: dict[tuple[object, ...], int] = {}
    for row in range(len(batch)):
        one = np.array([row])
        values = (
            next(iter(columns.iterate(columns.take(columns.values_of(c), one))))
            for c in batch.columns.values()
        )
        present = (bool(columns.presence_of(c)[row]) for c in batch.columns.values())
        seen.setdefault((*present, *(_key(value) for value in values)), row)
    return np.array(list(seen.values()), dtype=np.intp)


def _key(value: Array) -> object:
    return (value.shape, repr(value.tolist()) if value.dtype.kind == "O" else value.tobytes())
