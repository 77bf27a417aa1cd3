"""The only place that wires sources, transforms and sinks into a Beam pipeline: batch jobs.

Streaming jobs are in `build_stream`; what lies between source and sink is the same and is here.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from pipeline.connectors.block_writer import WriteBlocks
from pipeline.connectors.text_blocks import ReadBlocks
from pipeline.launch import Job
from pipeline.launch_checks import SUFFIX
from pipeline.transforms import coders  # noqa: F401  # registers the coder of batches
from pipeline.transforms.assign_release import AssignPinnedRelease
from pipeline.transforms.combine import Combine
from pipeline.transforms.decode import Decode
from pipeline.transforms.encode import DEAD_LETTER_LINES, OUTPUTS, PREDICTION_LINES, Encode
from pipeline.transforms.inference import EnsembleModelHandler, run_inference


def build_batch(pipeline: beam.Pipeline, job: Job) -> None:
    """Adds the steps of a batch job to an empty pipeline.

    Everything between reading a file's range and writing a shard is one fused stage: no shuffle, so
    memory does not grow with the number of records.
    """
    settings = job.settings
    batches = (
        pipeline
        | "Read" >> ReadBlocks(settings.input_file_pattern, block_rows=settings.max_batch_size)
        | "Decode" >> decode(job)
        | "AssignRelease" >> beam.ParDo(AssignPinnedRelease(job.handle, job.release))
    )
    lines = serve(batches, job, (PREDICTION_LINES, DEAD_LETTER_LINES))
    _ = lines[PREDICTION_LINES] | "WritePredictions" >> WriteBlocks(settings.output_path, SUFFIX)
    _ = lines[DEAD_LETTER_LINES] | "WriteDeadLetters" >> WriteBlocks(
        settings.dead_letter_path, SUFFIX
    )


def decode(job: Job) -> beam.ParDo:
    """The step from blocks to batches."""
    return beam.ParDo(Decode(job.graph.spec.record, job.graph.spec.pass_through))


def serve(batches: Any, job: Job, wanted: tuple[str, ...]) -> Any:
    """From batches that carry their release to the wanted outputs of Encode.

    Args:
      batches: PCollection[Batch].
      job: the job.
      wanted: which of `transforms.encode.OUTPUTS`.

    Returns:
      the tagged outputs of Encode.
    """
    settings = job.settings
    for model in job.graph.models:
        handler = EnsembleModelHandler(
            job.handle,
            model,
            max_batch_size=settings.max_batch_size,
            max_model_faults=settings.max_model_faults,
        )
        batches = batches | f"RunInference[{model.name}]" >> run_inference(handler)
    encode = Encode(job.graph.output, wanted, job.handle.job_key)
    return (
        batches
        | "Combine" >> beam.ParDo(Combine(job.graph.combine))
        | "Encode" >> beam.ParDo(encode).with_outputs(*OUTPUTS)
    )
