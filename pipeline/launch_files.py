"""Input files and prediction files, compared with the ensemble before a job starts.

And the first records, on which its models are tried.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.connectors import input_checks
from pipeline.connectors.first_records import first_batch
from pipeline.core import columns
from pipeline.core.batch import Batch
from pipeline.core.columns import Array, Column
from pipeline.core.decode_raw import RAW_FORMATS, no_payload
from pipeline.core.encode_table import RESERVED
from pipeline.core.formats import format_of
from pipeline.core.graph import Graph
from pipeline.core.prepare_batch import prepare_batch
from pipeline.core.spec import EnsembleSpec
from pipeline.errors import PathError
from pipeline.serving.made_up import ROWS
from pipeline.settings import Settings

_LOGGER = logging.getLogger(__name__)

_SAMPLE = 8
"""Records among which some will differ."""
_SAMPLE_BYTES = 2**20
"""Most that the sample takes, pickled: each step of a job carries it to the workers."""


def problems(settings: Settings, spec: EnsembleSpec) -> Iterator[str]:
    """What is wrong with the formats of files, by parameter."""
    if settings.output_format == "parquet":
        for name in spec.output_columns():
            if name in RESERVED:
                yield (
                    f"--output_format: parquet has a column '{name}' of its own; output column "
                    f"'{name}' needs another name"
                )
    if spec.record.source == "image":
        if settings.input_format != "auto":
            yield f"--input_format={settings.input_format} does not go with `source: image`"
        for name in ("input_subscription", "input_topic", "input_table", "input_query"):
            if getattr(settings, name):
                yield (
                    f"--{name} does not go with `source: image`, whose records are files; expected "
                    "--input_file_pattern, or images as base64 in a field of dtype bytes"
                )
        return
    if spec.record.source == "raw" and settings.input_format not in ("auto", *RAW_FORMATS):
        chosen = format_of("", settings.input_format)
        yield f"--input_format={settings.input_format}: {no_payload(chosen)}"
        return
    if settings.input_file_pattern and not settings.streaming:
        try:
            for problem in input_checks.problems(
                settings.input_file_pattern, settings.input_format, spec.record
            ):
                yield f"--input_file_pattern: {problem}"
        except PathError:
            return  # told by the checks of the paths themselves


def sample(settings: Settings, graph: Graph) -> Mapping[str, Column]:
    """The columns of the first records that differ, behind the prepare steps.

    Two at least, since one alone has no company. Empty where the job reads no files, none of them
    has two such records now, or two are too large: what is wrong with them is told elsewhere, or
    costs these records alone.
    """
    if not settings.input_file_pattern:
        return {}
    spec = graph.spec
    try:
        batch = first_batch(
            settings.input_file_pattern, settings.input_format, spec.record, _SAMPLE
        )
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
        values = (
            next(iter(columns.iterate(columns.take(c, np.array([row])))))
            for c in batch.columns.values()
        )
        seen.setdefault(tuple(_key(value) for value in values), row)
    return np.array(list(seen.values()), dtype=np.intp)


def _key(value: Array) -> object:
    return (value.shape, repr(value.tolist()) if value.dtype.kind == "O" else value.tobytes())
