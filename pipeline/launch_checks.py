"""Inputs, outputs and subscriptions, looked at before a job starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner

from pipeline import launch_outputs
from pipeline.connectors import paths, pubsub_checks
from pipeline.errors import PathError
from pipeline.serving.artifacts import is_local
from pipeline.settings import Settings

Check = Callable[[], object]


def path_problems(settings: Settings) -> list[str]:
    """Everything that is wrong with where the job reads and writes, by parameter.

    A dry run reads no records and writes none.
    """
    problems: list[str] = []
    failed: set[str] = set()
    for parameter, check in _checks(settings):
        # By default beside the output, dead letters would only repeat its problem.
        repeats = parameter == "dead_letter_path" and "output_path" in failed
        if parameter in failed or repeats:
            continue
        try:
            check()
        except PathError as error:
            failed.add(parameter)
            problems += [f"--{parameter}: {problem}" for problem in error.problems]
    return problems


def service_problems(settings: Settings, options: PipelineOptions) -> list[str]:
    """What the runner of a service will refuse of its own options, and cannot write.

    Found after the models were loaded, it would come as a traceback, or after minutes of retries.
    """
    cloud = options.view_as(GoogleCloudOptions)
    problems: list[str] = []
    if settings.report_path and is_local(settings.report_path):
        problems.append(
            f"--report_path: found '{settings.report_path}', expected a gs:// path: a worker "
            "writes the page, whose disk nobody sees"
        )
    for parameter in ("temp_location", "staging_location", "template_location"):
        if location := getattr(cloud, parameter):
            try:
                paths.check_writable(f"{location.rstrip('/')}/launch")
            except PathError as error:
                problems += [f"--{parameter}: {problem}" for problem in error.problems]
    if not problems:  # else it would look at them once more
        runner = create_runner(options.view_as(StandardOptions).runner)
        refused = PipelineOptionsValidator(options, runner).validate()
        problems += [" ".join(str(problem).split()) for problem in refused]
    return problems


def _checks(settings: Settings) -> Iterator[tuple[str, Check]]:
    if settings.graph_path:
        yield "graph_path", partial(paths.check_writable, settings.graph_path)
    if settings.dry_run:
        return
    if settings.input_file_pattern and not settings.streaming:
        yield "input_file_pattern", partial(paths.match_input, settings.input_file_pattern)
    for parameter in ("input_subscription", "refresh_subscription"):
        if name := getattr(settings, parameter):
            yield parameter, partial(pubsub_checks.check_subscription, name)
    if settings.input_topic:
        yield "input_topic", partial(pubsub_checks.check_input_topic, settings.input_topic)
    for parameter in ("output_topic", "dead_letter_topic", "release_events_topic"):
        if name := getattr(settings, parameter):
            yield parameter, partial(pubsub_checks.check_topic, name)
    for parameter in launch_outputs.PREFIXES:
        if prefix := getattr(settings, parameter):
            yield parameter, partial(paths.check_writable, prefix)
            yield parameter, partial(launch_outputs.check_prefix, parameter, settings)
            if parameter != "release_events_path" and not settings.streaming:
                yield parameter, partial(launch_outputs.check_earlier, parameter, settings)
    if settings.report_path:
        yield "report_path", partial(paths.check_writable, settings.report_path)
        if not settings.streaming:
            check = partial(launch_outputs.check_earlier_report, settings.report_path)
            yield "report_path", partial(check, settings.overwrite)
    if settings.release_dir:
        manifests = f"{settings.release_dir.rstrip('/')}/release"
        yield "release_dir", partial(paths.check_writable, manifests)
    if settings.model_cache_dir:
        modules = f"{settings.model_cache_dir.rstrip('/')}/module"
        yield "model_cache_dir", partial(paths.check_writable, modules)
