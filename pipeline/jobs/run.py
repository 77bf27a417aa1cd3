"""Runs a checked job: in this process and its children, on other workers, or on a service."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner

from pipeline.connectors.storage import paths
from pipeline.drawing.svg import as_svg
from pipeline.errors import ParameterError, PathError
from pipeline.jobs import summary
from pipeline.jobs.engines.contract import JobEngine
from pipeline.jobs.engines.local import Local
from pipeline.jobs.engines.portable import Portable
from pipeline.jobs.engines.service import Service
from pipeline.jobs.progress import Progress
from pipeline.launch import dataflow_workers, portable
from pipeline.launch import job as launch
from pipeline.launch.options import Parsed

_LOCAL = ("DirectRunner", "FnApiRunner")
_PORTABLE = (portable.PRISM, portable.FLINK, portable.ANY)
_SERVICE = "DataflowRunner"


def run(parsed: Parsed, progress: Progress) -> None:
    """Checks and runs what the command line asks for.

    A local run is waited for and summed up. A job for a service is submitted, and nothing is waited
    for: a template launch has no job to wait for.

    Raises:
      LaunchError: it must not start.
      Exception: whatever stopped a local run.
    """
    options = _options(parsed)
    FileSystems.set_options(options)
    for warning in parsed.warnings:
        progress.say(f"warning: {warning}")
    settings = parsed.settings
    standard = options.view_as(StandardOptions)
    standard.streaming = settings.inputs.streaming
    engine = _engine(options)
    engine.check(settings, options, progress)
    dataflow_workers.configure(settings.workers, options)
    job = launch.check_job(settings, options, engine.placement(options), progress.say)
    try:
        with job.failure_noted():
            _draw(job, progress)
        if settings.run.dry_run:
            print(summary.dry_run(job))
            if workers := engine.describe_workers(settings.workers, options):
                print(f"\nWorkers\n{workers}")
        else:
            engine.run(job, options, progress)
    finally:
        job.close()


def _options(parsed: Parsed) -> PipelineOptions:
    options = beam_options(parsed.beam_args)
    runner = options.view_as(StandardOptions).runner
    if not (parsed.settings.inputs.streaming and portable.is_runner(portable.FLINK, runner)):
        return options
    return beam_options([*parsed.beam_args, *portable.flink_defaults(parsed.beam_args)])


def _engine(options: PipelineOptions) -> JobEngine:
    runner = options.view_as(StandardOptions).runner
    if any(portable.is_runner(name, runner) for name in _LOCAL):
        return Local()
    if any(portable.is_runner(name, runner) for name in _PORTABLE):
        return Portable(options)
    return Service()


def _draw(job: launch.Job, progress: Progress) -> None:
    if path := job.settings.run.graph_path:
        try:
            paths.write_text(path, as_svg(job.drawing()), "image/svg+xml")
        except PathError as error:
            raise PathError(f"--graph_path: {error}") from error
        progress.say(f"drew the graph to {path}")


def beam_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's options, with the defaults of this project.

    Raises:
      ParameterError: nobody tried this project on such a runner.
    """
    options = PipelineOptions(list(beam_args))
    # The package is installed on the workers; a pickled __main__ would be a second version of it.
    options.view_as(SetupOptions).save_main_session = False
    standard, direct = options.view_as(StandardOptions), options.view_as(DirectOptions)
    standard.runner = standard.runner or "DirectRunner"
    if direct.direct_num_workers not in (None, 1) and not _are_given(
        beam_args, "--direct_running_mode"
    ):
        direct.direct_running_mode = "multi_processing"  # Beam's default takes one, with a warning
    known = (*_LOCAL, *_PORTABLE, _SERVICE)
    if not any(portable.is_runner(name, standard.runner) for name in known):
        raise ParameterError(
            f"--runner: found {standard.runner}, expected one of {', '.join(known)}: nothing else "
            "was tried"
        )
    try:
        create_runner(standard.runner)
    except (AttributeError, ImportError, ValueError) as error:
        raise ParameterError(f"--runner: {error}") from error
    return options


def _are_given(beam_args: Sequence[str], option: str) -> bool:
    return any(arg.partition("=")[0] == option for arg in beam_args)
