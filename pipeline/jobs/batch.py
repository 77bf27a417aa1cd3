"""The only place that wires sources, transforms and sinks into a Beam pipeline: batch jobs.

Streaming jobs are in `jobs.stream`; what lies between source and sink is the same and is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import apache_beam as beam

from pipeline.connectors.bigquery.output_rows import dead_letter_rows, prediction_rows
from pipeline.connectors.bigquery.schema import prediction_columns
from pipeline.connectors.bigquery.sink import LoadRows, ToRows
from pipeline.connectors.bigquery.source import ReadTable
from pipeline.connectors.files.parquet_file import ParquetFile
from pipeline.connectors.files.read import ReadBlocks
from pipeline.connectors.files.write import ChunkFile, FileSink, WriteBlocks, lines_file
from pipeline.formats.csv.encoder import CsvLayout, layout_of
from pipeline.formats.format import Reading
from pipeline.formats.image import IMAGE
from pipeline.jobs import report
from pipeline.jobs.engines.contract import JobEngine
from pipeline.launch.job import Job
from pipeline.launch.outputs import LINES_SUFFIX
from pipeline.launch.settings import Content, Medium
from pipeline.serving.step.samples import MAX_DIFFERENCES
from pipeline.transforms.assign_release import AssignPinnedRelease
from pipeline.transforms.combine import Combine
from pipeline.transforms.decode import Decode
from pipeline.transforms.encode import (
    DEAD_LETTER_LINES,
    OUTPUTS,
    PREDICTION_CSV,
    PREDICTION_LINES,
    PREDICTION_TABLES,
    Encode,
)
from pipeline.transforms.inference import EnsembleModelHandler, run_inference
from pipeline.transforms.join_small import JoinSmallBatches
from pipeline.transforms.prepare import Prepare
from pipeline.transforms.waiting import all_complete

_IN_FILES = {"jsonl": PREDICTION_LINES, "csv": PREDICTION_CSV, "parquet": PREDICTION_TABLES}
"""Format of prediction files -> the output of Encode that they take."""


def build_batch(pipeline: beam.Pipeline, job: Job, engine: JobEngine) -> list[str]:
    """Adds the steps of a batch job to an empty pipeline.

    Everything between reading a file's range and writing a shard is one fused stage: no shuffle, so
    memory does not grow with the number of records.

    Returns:
      the temporary folders that a run which fails leaves behind.
    """
    settings = job.settings
    join = JoinSmallBatches(job.row_limits.block_rows)
    decoded = (
        pipeline
        | "Read" >> _source(job)
        | "Decode" >> decode_blocks(job)
        | "JoinSmall" >> beam.ParDo(join)
    )
    assign = AssignPinnedRelease(job.handle, job.release)
    batches = run_prepare_steps(decoded, job) | "AssignRelease" >> beam.ParDo(assign)
    in_files = _IN_FILES[settings.outputs.output_format]
    wanted = {in_files} | ({PREDICTION_LINES} if job.tables.predictions else set())
    finished = serve(batches, job)
    outputs = encode(finished, job, (*sorted(wanted), DEAD_LETTER_LINES, *engine.outcome_outputs))
    # One after the other: what fails leaves what comes behind it as it was.
    done = _load(outputs, job)
    written, folders = _write_files(outputs, in_files, job, all_complete(done, "Loaded"))
    done += written
    if settings.outputs.report_path:
        page = report.page_of(job, pipeline.options, engine.notes)
        statistics = report.gather(finished, job)
        done += report.report_at_end(statistics, page, all_complete(done, "Written"))
    engine.check_outcomes(outputs, settings.run.max_dead_letter_percent, done)
    return folders


def _load(outputs: Any, job: Job) -> list[Any]:
    """Loads predictions and dead letters where tables are wanted.

    Returns:
      what is complete when the rows are there, as PCollections.
    """
    loaded: list[Any] = []
    tables = job.tables
    if tables.predictions:
        load = LoadRows(tables.predictions, to_prediction_rows(job), tables.project)
        loaded.append(outputs[PREDICTION_LINES] | "LoadPredictions" >> load)
    if tables.dead_letters:
        load = LoadRows(tables.dead_letters, dead_letter_rows, tables.project)
        loaded.append(outputs[DEAD_LETTER_LINES] | "LoadDeadLetters" >> load)
    return loaded


def _write_files(
    outputs: Any, predictions: str, job: Job, after: Sequence[Any]
) -> tuple[list[Any], list[str]]:
    """Writes predictions and dead letters where files are wanted.

    Args:
      outputs: of Encode.
      predictions: which of them has the predictions as files take them.
      job: the job.
      after: see `transforms.waiting`.

    Returns:
      what is complete when the files have their names, as PCollections; and where they are before.
    """
    wanted = job.settings.outputs
    create: Callable[[str], ChunkFile] = lines_file
    if predictions == PREDICTION_TABLES:
        create = ParquetFile
    elif predictions == PREDICTION_CSV:
        create = partial(lines_file, header=_csv_layout(job).header)
    sinks: dict[str, FileSink] = {}
    for sink in wanted.of(Medium.FILES):
        if sink.content is Content.PREDICTIONS:
            suffix = wanted.prediction_suffix
            sinks[predictions] = FileSink("Predictions", sink.place, suffix, create)
        elif sink.content is Content.DEAD_LETTERS:
            sinks[DEAD_LETTER_LINES] = FileSink("DeadLetters", sink.place, LINES_SUFFIX)
    if not sinks:
        return [], []
    write = WriteBlocks(list(sinks.values()), job.earlier, after)
    return [tuple(outputs[tag] for tag in sinks) | "WriteFiles" >> write], write.folders


def _source(job: Job) -> beam.PTransform:
    spec, block_rows = job.graph.spec, job.row_limits.block_rows
    if job.tables.source is not None:
        return ReadTable(job.tables.source, spec.record, spec.pass_through, block_rows)
    return ReadBlocks(job.settings.inputs.input_file_pattern, reading(job))


def reading(job: Job) -> Reading:
    """How the job reads its files."""
    spec = job.graph.spec
    inputs = job.settings.inputs
    form = IMAGE.name if spec.record.whole_files else inputs.input_format
    return Reading(
        job.row_limits.block_rows,
        form,
        spec.record.outer_keys(spec.pass_through),
        inputs.max_record_bytes,
        spec.record,
    )


def to_prediction_rows(job: Job) -> ToRows:
    """What turns prediction lines into rows of the job's output table."""
    columns = prediction_columns(
        job.graph.spec, job.rehearsal.types, event_times=job.settings.inputs.streaming
    )
    return partial(prediction_rows, columns=columns)


def _csv_layout(job: Job) -> CsvLayout:
    return layout_of(job.graph.output, job.rehearsal.types, job.graph.spec.pass_through)


def decode_blocks(job: Job) -> beam.ParDo:
    """The step from blocks to batches."""
    return beam.ParDo(Decode(job.graph.spec.record, job.graph.spec.pass_through))


def run_prepare_steps(decoded: Any, job: Job) -> Any:
    """The decoded batches with the columns of the prepare steps, if there are any."""
    graph = job.graph
    if not graph.prepare:
        return decoded
    return decoded | "Prepare" >> beam.ParDo(Prepare(graph.prepare, graph.read_after_prepare))


def serve(batches: Any, job: Job, *, faults_raise: bool = True) -> Any:
    """From batches that carry their release to finished ones: PCollection[Batch].

    Args:
      batches: PCollection[Batch].
      job: the job.
      faults_raise: see `serving.step.model_step.ModelStep`.
    """
    sparse = job.graph.sparse
    for model in job.graph.models:
        handler = EnsembleModelHandler(
            job.handle,
            model,
            limits=job.row_limits,
            max_model_faults=job.settings.models.max_model_faults,
            faults_raise=faults_raise,
            max_differences=0 if job.settings.inputs.streaming else MAX_DIFFERENCES,
            sparse=sparse,
        )
        batches = batches | f"RunInference[{model.name}]" >> run_inference(handler)
    return batches | "Combine" >> beam.ParDo(Combine(job.graph.combine, job.graph.output))


def encode(finished: Any, job: Job, wanted: tuple[str, ...]) -> Any:
    """From finished batches to the wanted outputs of Encode.

    Args:
      finished: PCollection[Batch].
      job: the job.
      wanted: which of `transforms.encode.OUTPUTS`.

    Returns:
      the tagged outputs of Encode.
    """
    step = Encode(
        job.graph.output,
        wanted,
        job.handle.job_key,
        job.rehearsal.types,
        _csv_layout(job) if PREDICTION_CSV in wanted else None,
    )
    return finished | "Encode" >> beam.ParDo(step).with_outputs(*OUTPUTS)
