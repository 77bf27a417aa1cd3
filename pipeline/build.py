"""The only place that wires sources, transforms and sinks into a Beam pipeline."""

from __future__ import annotations

import apache_beam as beam

from pipeline.connectors.block_writer import WriteBlocks
from pipeline.connectors.text_blocks import ReadBlocks
from pipeline.launch import SUFFIX, Job
from pipeline.transforms import coders  # noqa: F401  # registers the coder of batches
from pipeline.transforms.assign_release import AssignPinnedRelease
from pipeline.transforms.combine import Combine
from pipeline.transforms.decode import Decode
from pipeline.transforms.encode import DEAD_LETTER_LINES, OUTPUTS, PREDICTION_LINES, Encode
from pipeline.transforms.inference import EnsembleModelHandler, run_inference


def build(pipeline: beam.Pipeline, job: Job) -> None:
    """Adds the steps of `job` to an empty pipeline.

    Everything between reading a file's range and writing a shard is one fused stage: no shuffle, so
    memory does not grow with the number of records.
    """
    settings, spec = job.settings, job.graph.spec
    batches = (
        pipeline
        | "Read" >> ReadBlocks(settings.input_file_pattern, block_rows=settings.max_batch_size)
        | "Decode" >> beam.ParDo(Decode(spec.record, spec.pass_through))
        | "AssignRelease" >> beam.ParDo(AssignPinnedRelease(job.handle, job.release))
    )
    for model in job.graph.models:
        handler = EnsembleModelHandler(
            job.handle,
            model,
            max_batch_size=settings.max_batch_size,
            max_model_faults=settings.max_model_faults,
        )
        batches = batches | f"RunInference[{model.name}]" >> run_inference(handler)
    lines = (
        batches
        | "Combine" >> beam.ParDo(Combine(job.graph.combine))
        | "Encode"
        >> beam.ParDo(
            Encode(job.graph.output, (PREDICTION_LINES, DEAD_LETTER_LINES), job.handle.job_key)
        ).with_outputs(*OUTPUTS)
    )
    _ = lines[PREDICTION_LINES] | "WritePredictions" >> WriteBlocks(settings.output_path, SUFFIX)
    _ = lines[DEAD_LETTER_LINES] | "WriteDeadLetters" >> WriteBlocks(
        settings.dead_letter_path, SUFFIX
    )
