"""The only place that wires sources, transforms and sinks into a Beam pipeline: batch jobs.

Streaming jobs are in `build_stream`; what lies between source and sink is the same and is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import apache_beam as beam

from pipeline import build_report
from pipeline.connectors.bigquery_sink import LoadRows, ToRows
from pipeline.connectors.bigquery_source import ReadTable
from pipeline.connectors.block_writer import Sink, WriteBlocks, lines_file
from pipeline.connectors.file_blocks import ReadBlocks, Reading
from pipeline.connectors.image_blocks import ReadImageBlocks
from pipeline.connectors.parquet_file import ParquetFile
from pipeline.core.batch_rows import block_rows, call_rows
from pipeline.core.table_rows import dead_letter_rows, prediction_rows
from pipeline.core.table_schema import prediction_columns
from pipeline.launch import Job
from pipeline.launch_outputs import LINES_SUFFIX
from pipeline.serving.row_samples import MAX_DIFFERENCES
from pipeline.tables import Tables, tables_of
from pipeline.transforms.assign_release import AssignPinnedRelease
from pipeline.transforms.check_share import CheckShare
from pipeline.transforms.combine import Combine
from pipeline.transforms.decode import Decode
from pipeline.transforms.encode import (
    DEAD_LETTER_LINES,
    OUTCOMES,
    OUTPUTS,
    PREDICTION_LINES,
    PREDICTION_TABLES,
    Encode,
)
from pipeline.transforms.inference import EnsembleModelHandler, run_inference
from pipeline.transforms.prepare import Prepare
from pipeline.transforms.waiting import all_complete


def build_batch(pipeline: beam.Pipeline, job: Job, *, on_service: bool = False) -> None:
    """Adds the steps of a batch job to an empty pipeline.

    Everything between reading a file's range and writing a shard is one fused stage: no shuffle, so
    memory does not grow with the number of records.
    """
    settings = job.settings
    tables = tables_of(settings, pipeline.options)
    decoded = pipeline | "Read" >> _source(job, tables) | "Decode" >> decode(job)
    assign = AssignPinnedRelease(job.handle, job.release)
    batches = prepare(decoded, job) | "AssignRelease" >> beam.ParDo(assign)
    parquet = settings.output_format == "parquet"
    wanted = [PREDICTION_TABLES] * parquet
    if tables.predictions or not parquet:
        wanted.append(PREDICTION_LINES)
    finished = serve(batches, job)
    outputs = encode(finished, job, (*wanted, DEAD_LETTER_LINES, *([OUTCOMES] * on_service)))
    # One after the other: what fails leaves what comes behind it as it was.
    done = _load(outputs, tables, job)
    done += _write_files(outputs, wanted[0], job, all_complete(done, "Loaded"))
    if settings.report_path:
        page = build_report.page_of(job, pipeline.options, on_service=on_service)
        statistics = build_report.gather(finished, job)
        done += build_report.report_at_end(statistics, page, all_complete(done, "Written"))
    if on_service:  # a local run counts by itself, and has its summary to print
        check = CheckShare(settings.max_dead_letter_percent, all_complete(done, "Done"))
        _ = outputs[OUTCOMES] | "CheckDeadLetters" >> check


def _load(outputs: Any, tables: Tables, job: Job) -> list[Any]:
    """Loads predictions and dead letters where tables are wanted.

    Returns:
      what is complete when the rows are there, as PCollections.
    """
    loaded: list[Any] = []
    if tables.predictions:
        load = LoadRows(tables.predictions, to_prediction_rows(job), tables.project)
        loaded.append(outputs[PREDICTION_LINES] | "LoadPredictions" >> load)
    if tables.dead_letters:
        load = LoadRows(tables.dead_letters, dead_letter_rows, tables.project)
        loaded.append(outputs[DEAD_LETTER_LINES] | "LoadDeadLetters" >> load)
    return loaded


def _write_files(outputs: Any, predictions: str, job: Job, after: Sequence[Any]) -> list[Any]:
    """Writes predictions and dead letters where files are wanted.

    Args:
      outputs: of Encode.
      predictions: which of them has the predictions as files take them.
      job: the job.
      after: see `transforms.waiting`.

    Returns:
      what is complete when the files have their names, as PCollections.
    """
    settings = job.settings
    create = ParquetFile if settings.output_format == "parquet" else lines_file
    sinks: dict[str, Sink] = {}
    if prefix := settings.output_path:
        sinks[predictions] = Sink("Predictions", prefix, settings.prediction_suffix, create)
    if prefix := settings.dead_letter_path:
        sinks[DEAD_LETTER_LINES] = Sink("DeadLetters", prefix, LINES_SUFFIX)
    if not sinks:
        return []
    write = WriteBlocks(list(sinks.values()), job.earlier, after)
    return [tuple(outputs[tag] for tag in sinks) | "WriteFiles" >> write]


def _source(job: Job, tables: Tables) -> beam.PTransform:
    settings, spec = job.settings, job.graph.spec
    if tables.source is not None:
        return ReadTable(tables.source, spec.record, spec.pass_through, rows_together(job))
    if spec.record.source == "image":
        return ReadImageBlocks(settings.input_file_pattern, rows_together(job))
    return ReadBlocks(settings.input_file_pattern, reading(job))


def rows_together(job: Job) -> int:
    """Most records of a block: in a stream, they wait for each other."""
    most, spec = job.settings.max_batch_size, job.graph.spec
    if job.settings.streaming:
        return call_rows(most)
    return block_rows(most, spec.record, spec.pass_through)


def reading(job: Job) -> Reading:
    """How the job reads its files."""
    settings, spec = job.settings, job.graph.spec
    keys = [*spec.record.fields, *spec.pass_through, *([spec.record.id] if spec.record.id else [])]
    image = spec.record.source == "image"
    form = "image" if image else settings.input_format
    return Reading(rows_together(job), form, tuple(keys))


def to_prediction_rows(job: Job) -> ToRows:
    """What turns prediction lines into rows of the job's output table."""
    columns = prediction_columns(
        job.graph.spec, job.rehearsal.types, event_times=job.settings.streaming
    )
    return partial(prediction_rows, columns=columns)


def decode(job: Job) -> beam.ParDo:
    """The step from blocks to batches."""
    return beam.ParDo(Decode(job.graph.spec.record, job.graph.spec.pass_through))


def prepare(decoded: Any, job: Job) -> Any:
    """The decoded batches with the columns of the prepare steps, if there are any."""
    graph = job.graph
    if not graph.prepare:
        return decoded
    return decoded | "Prepare" >> beam.ParDo(Prepare(graph.prepare, graph.read_after_prepare))


def serve(batches: Any, job: Job) -> Any:
    """From batches that carry their release to finished ones: PCollection[Batch]."""
    settings = job.settings
    for model in job.graph.models:
        handler = EnsembleModelHandler(
            job.handle,
            model,
            max_batch_size=call_rows(settings.max_batch_size),
            quick_batch_size=rows_together(job),
            max_model_faults=settings.max_model_faults,
            max_differences=0 if settings.streaming else MAX_DIFFERENCES,
        )
        batches = batches | f"RunInference[{model.name}]" >> run_inference(handler)
    return batches | "Combine" >> beam.ParDo(Combine(job.graph.combine))


def encode(finished: Any, job: Job, wanted: tuple[str, ...]) -> Any:
    """From finished batches to the wanted outputs of Encode.

    Args:
      finished: PCollection[Batch].
      job: the job.
      wanted: which of `transforms.encode.OUTPUTS`.

    Returns:
      the tagged outputs of Encode.
    """
    step = Encode(job.graph.output, wanted, job.handle.job_key, job.rehearsal.types)
    return finished | "Encode" >> beam.ParDo(step).with_outputs(*OUTPUTS)
