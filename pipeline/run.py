"""Runs a checked job: in this process and its children, or handed to a service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from google.api_core.exceptions import GoogleAPICallError

import pipeline as package
from pipeline import dataflow_workers, launch, report
from pipeline.build import build_batch
from pipeline.build_stream import build_stream
from pipeline.connectors import paths
from pipeline.core.dead_letter_share import share_problem
from pipeline.core.drawing_svg import as_svg
from pipeline.core.metric_names import DEAD_LETTERS, NAMESPACE, PREDICTIONS
from pipeline.errors import OutputError, PathError, ServiceError
from pipeline.local_runner import local_runner
from pipeline.options import Parsed
from pipeline.progress import BatchStatus, Progress
from pipeline.run_stream import check_local_stream, run_stream
from pipeline.serving.cores import usable_cores
from pipeline.serving.tally import process_tally

_LOCAL = ("DirectRunner", "FnApiRunner")


def run(parsed: Parsed, progress: Progress) -> None:
    """Checks and runs what the command line asks for.

    A local run is waited for and summed up. A job for a service is submitted, and nothing is waited
    for: a template launch has no job to wait for.

    Raises:
      LaunchError: it must not start.
      Exception: whatever stopped a local run.
    """
    options = beam_options(parsed.beam_args)
    FileSystems.set_options(options)
    for warning in parsed.warnings:
        progress.say(f"warning: {warning}")
    settings = parsed.settings
    standard, direct = options.view_as(StandardOptions), options.view_as(DirectOptions)
    standard.streaming = settings.streaming
    local = standard.runner in _LOCAL
    if local and settings.streaming:
        check_local_stream(options)
    if local and settings.accelerator and not settings.dry_run:
        progress.say("warning: --accelerator has no effect on a local run")
    dataflow_workers.configure(settings, options)
    placement = _locally(direct) if local else _on_service(options)
    job = launch.prepare(settings, options, placement, progress.say)
    try:
        _draw(job, progress)
        if settings.dry_run:
            print(report.dry_run(job))
            if not local or settings.accelerator:
                print(f"\nWorkers\n{dataflow_workers.describe(options)}")
        elif not local:
            _submit(job, options, progress)
        elif settings.streaming:
            run_stream(job, options, progress)
        else:
            if direct.direct_running_mode == "multi_processing":
                job.handle.close()  # the workers load their own
            _run_batch(job, options, progress)
    finally:
        job.close()


def _draw(job: launch.Job, progress: Progress) -> None:
    if path := job.settings.graph_path:
        try:
            paths.write_text(path, as_svg(job.drawing()), "image/svg+xml")
        except PathError as error:
            raise PathError(f"--graph_path: {error}") from error
        progress.say(f"drew the graph to {path}")


def beam_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's options, with the defaults of this project."""
    options = PipelineOptions(list(beam_args))
    # The package is installed on the workers; a pickled __main__ would be a second version of it.
    options.view_as(SetupOptions).save_main_session = False
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or "DirectRunner"
    return options


def _locally(direct: DirectOptions) -> launch.Placement:
    """All processes share the cores of this machine; workers that are threads, the models too."""
    workers = direct.direct_num_workers or os.cpu_count() or 1  # 0: as many as Beam counts
    processes = workers if direct.direct_running_mode == "multi_processing" else 1
    return launch.Placement(
        on_service=False,
        intra_op_threads=max(1, usable_cores() // processes),
        threads_share_models=workers > processes,
        several_processes=processes > 1,
    )


def _on_service(options: PipelineOptions) -> launch.Placement:
    """One process for each core, or one with all of them; each has a dozen threads."""
    alone = dataflow_workers.has_one_process(options)
    return launch.Placement(
        on_service=True,
        intra_op_threads=0 if alone else 1,
        threads_share_models=True,
        several_processes=not alone,
    )


def _run_batch(job: launch.Job, options: PipelineOptions, progress: Progress) -> None:
    _let_children_import_us()
    pipeline = beam.Pipeline(runner=local_runner(), options=options)
    build_batch(pipeline, job)
    progress.say(f"running ensemble '{job.graph.spec.name}', release {job.release.release_id}")
    started = progress.elapsed_secs
    with progress.showing(BatchStatus(process_tally(job.handle.job_key))):
        result = pipeline.run()
        result.wait_until_finish()
    counters: dict[str, int] = {}
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    for counter in found["counters"]:
        name = counter.key.metric.name
        counters[name] = counters.get(name, 0) + counter.result
    print(report.summary(counters, job, progress.elapsed_secs - started))
    predictions, dead_letters = counters.get(PREDICTIONS, 0), counters.get(DEAD_LETTERS, 0)
    most = job.settings.max_dead_letter_percent
    if problem := share_problem(predictions, dead_letters, most):
        raise OutputError(problem)


def _submit(job: launch.Job, options: PipelineOptions, progress: Progress) -> None:
    pipeline = beam.Pipeline(options=options)
    if job.settings.streaming:
        build_stream(pipeline, job, native=True)
    else:
        build_batch(pipeline, job, on_service=True)
    try:
        result = pipeline.run()
    except GoogleAPICallError as error:
        raise ServiceError(
            f"Dataflow refuses the job: {error.message}; whoever launches needs "
            "roles/dataflow.developer, and roles/iam.serviceAccountUser on the workers' account"
        ) from error
    template = options.view_as(GoogleCloudOptions).template_location
    if template:
        progress.say(f"wrote the job to {template}")
    else:
        progress.say(f"submitted job {result.job_id()}")


def _let_children_import_us() -> None:
    """Worker processes started by the local runner find this package as we do."""
    assert package.__file__ is not None
    root = str(Path(package.__file__).parents[1])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, known)])
