"""Inputs, outputs and subscriptions, looked at before a job starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import google.auth
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner
from google.auth.exceptions import DefaultCredentialsError

from pipeline.connectors.pubsub import checks as pubsub_checks
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import CREDENTIALS
from pipeline.connectors.storage.log_files import check_log_folder
from pipeline.errors import PathError
from pipeline.launch import outputs as launch_outputs
from pipeline.launch.places import check_no_return, check_own_subscription
from pipeline.launch.settings import Content, Inputs, Medium, Outputs, Settings, Sink
from pipeline.spec.uris import is_local

Check = Callable[[], object]


def path_problems(settings: Settings) -> list[str]:
    """Everything that is wrong with where the job reads and writes, by parameter.

    A dry run writes nothing, so it only compares its places with each other.
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


def credential_problems(options: PipelineOptions) -> list[str]:
    """Whether there is an account to submit a job as.

    Beam searches for half a minute, goes on without one, and is refused by the storage.
    """
    if options.view_as(GoogleCloudOptions).no_auth:
        return []
    try:
        google.auth.default()
    except (DefaultCredentialsError, OSError) as error:  # OSError of a file that cannot be read
        told = error.args[0] if isinstance(error, DefaultCredentialsError) else error
        reason = str(told).split(". ")[0].rstrip(".")
        return [f"no Google Cloud credentials to submit the job with ({reason}): {CREDENTIALS}"]
    return []


def service_problems(report_path: str, options: PipelineOptions) -> list[str]:
    """What the runner of a service will refuse of its own options, and cannot write.

    Found after the models were loaded, it would come as a traceback, or after minutes of retries.
    """
    cloud = options.view_as(GoogleCloudOptions)
    problems: list[str] = []
    if report_path and is_local(report_path):
        problems.append(
            f"--report_path: found '{report_path}', expected a gs:// path: a worker "
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
    if path := settings.run.graph_path:
        yield "graph_path", partial(paths.check_writable, path)
    inputs, outputs, refresh = settings.inputs, settings.outputs, settings.refresh
    heard = {"input_topic": inputs.input_topic} if inputs.input_topic else {}
    if name := refresh.refresh_subscription:
        check = partial(check_own_subscription, name, inputs.input_subscription)
        yield "refresh_subscription", check
    if settings.run.dry_run:
        yield from _place_checks(outputs, inputs, heard)
        return
    models = settings.models
    yield from _input_checks(inputs, heard)
    if refresh.release_pattern:
        yield "release_pattern", partial(paths.check_watched, refresh.release_pattern)
    if name:
        yield "refresh_subscription", partial(_hear, "refresh_subscription", name, heard)
    yield from _output_checks(outputs, inputs, heard)
    if refresh.release_dir and not refresh.follows:  # else it is only read
        yield "release_dir", partial(check_log_folder, refresh.release_dir)
    if models.model_cache_dir:
        modules = f"{models.model_cache_dir.rstrip('/')}/module"
        yield "model_cache_dir", partial(paths.check_writable, modules)


def _hear(parameter: str, subscription: str, heard: dict[str, str]) -> None:
    """Checks a subscription, and notes the topic that it gets all messages of."""
    if topic := pubsub_checks.check_subscription(subscription):
        heard[parameter] = topic


def _input_checks(inputs: Inputs, heard: dict[str, str]) -> Iterator[tuple[str, Check]]:
    if inputs.input_file_pattern and not inputs.streaming:
        yield "input_file_pattern", partial(paths.match_input, inputs.input_file_pattern)
    if inputs.input_file_pattern and inputs.streaming:
        yield "input_file_pattern", partial(paths.check_watched, inputs.input_file_pattern)
    if name := inputs.input_subscription:
        yield "input_subscription", partial(_hear, "input_subscription", name, heard)
    if inputs.input_topic:
        yield "input_topic", partial(pubsub_checks.check_input_topic, inputs.input_topic)


def _output_checks(
    outputs: Outputs, inputs: Inputs, heard: Mapping[str, str]
) -> Iterator[tuple[str, Check]]:
    """Tables are looked at in `launch.tables`."""
    for sink in outputs.of(Medium.TOPIC):
        yield sink.parameter, partial(pubsub_checks.check_topic, sink.place)
    yield from _place_checks(outputs, inputs, heard)
    for sink in outputs.of(Medium.FILES):
        yield sink.parameter, partial(paths.check_writable, sink.place)
        yield sink.parameter, partial(paths.say_beside_folder, sink.place)
        if _replaces(sink, inputs):
            yield sink.parameter, partial(launch_outputs.check_earlier, sink, outputs)
    if path := outputs.report_path:
        yield "report_path", partial(paths.check_writable, path)
        if not inputs.streaming:
            check_report = launch_outputs.check_earlier_report
            yield "report_path", partial(check_report, path, outputs.overwrite)


def _place_checks(
    outputs: Outputs, inputs: Inputs, heard: Mapping[str, str]
) -> Iterator[tuple[str, Check]]:
    """Whether outputs are in each other's way or in that of a source, by looks alone."""
    for sink in outputs.of(Medium.TOPIC):
        yield sink.parameter, partial(check_no_return, sink, heard)
    for sink in outputs.of(Medium.FILES):
        yield sink.parameter, partial(launch_outputs.check_prefix, sink, outputs)
        if _replaces(sink, inputs):
            check = partial(launch_outputs.check_input_stays, sink, outputs)
            yield sink.parameter, partial(check, inputs.input_file_pattern)


def _replaces(sink: Sink, inputs: Inputs) -> bool:
    """Whether files of an earlier run are in the way of a sink's: those of a stream never are."""
    return sink.content is not Content.RELEASE_EVENTS and not inputs.streaming
