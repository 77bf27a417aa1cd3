"""Beam's portable runners (Prism, Flink, another behind a job server): what their options mean."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from apache_beam.options.pipeline_options import (
    DebugOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner

from pipeline.launch.placement import Placement, RemotePlacement
from pipeline.launch.settings import Outputs, RefreshSettings, Settings
from pipeline.serving.cores import usable_cores
from pipeline.spec.uris import is_local

PRISM, FLINK, ANY = "PrismRunner", "FlinkRunner", "PortableRunner"

FLINK_DEFAULTS: Mapping[str, str] = {
    # Without checkpoints nothing is acknowledged, and what a failure loses is lost.
    "checkpointing_interval": "10000",
    # Without it the output of a bundle that a checkpoint ends stays behind until the next bundle.
    "finish_bundle_before_checkpointing": "",
    # Flink's own default keeps a record for up to a second.
    "max_bundle_time_mills": "100",
}
"""Options of Flink's job server that a stream needs, and their values; a switch has none.

Beam's Python SDK does not know them: it asks the job server for its options.
"""

FLINK_FLAGS: Mapping[str, bool] = {
    **{name: not value for name, value in FLINK_DEFAULTS.items()},
    "savepoint_path": False,
    "allow_non_restored_state": True,
}
"""Options of Flink's job server that the documents name, each with whether it is a switch."""

_PROGRAMS: Mapping[str, str] = {
    "prism_location": "leave it out to have Beam download Prism, or build it (docs/engines.md)",
    "flink_job_server_jar": "leave it out to have Beam download Flink's job server",
}
"""Options that name a file on this machine, and the way out where it is missing.

Beam looks for it when the job is built already, and says so by a traceback.
"""

_CONNECT_SECS = 10.0
_OLD_FLINK = (2, 76)
_JAR_VERSION = re.compile(r"job-server-(\d+)\.(\d+)[\d.]*\.jar$")


def flink_defaults(beam_args: Sequence[str]) -> list[str]:
    """The options that a stream on Flink needs and `beam_args` lacks."""
    given = {arg.removeprefix("--").partition("=")[0] for arg in beam_args if arg.startswith("--")}
    return [
        f"--{name}={value}" if value else f"--{name}"
        for name, value in FLINK_DEFAULTS.items()
        if name not in given
    ]


def environment_type(options: PipelineOptions) -> str:
    """Where the workers are: LOOPBACK is this process. As Beam chooses where nothing is said."""
    portable = options.view_as(PortableOptions)
    if portable.environment_type:
        return str(portable.environment_type).upper()
    runner = options.view_as(StandardOptions).runner or ""
    own_flink = options.view_as(FlinkRunnerOptions).flink_master in ("[local]", "[auto]")
    if is_runner(PRISM, runner) or (is_runner(FLINK, runner) and own_flink):
        return "LOOPBACK"
    return "DOCKER"


def is_runner(name: str, given: str) -> bool:
    """Whether `given`, as Beam takes it, is the runner of this name."""
    short = given.rpartition(".")[2].lower()
    return short in (name.lower(), name.lower().removesuffix("runner"))


def works_here(options: PipelineOptions) -> bool:
    """Whether the workers are threads of this process."""
    apart = options.view_as(DebugOptions).lookup_experiment("use_loopback_process_worker", False)
    return environment_type(options) == "LOOPBACK" and not apart


def problems(settings: Settings, options: PipelineOptions) -> Iterator[str]:
    """What a job on a portable runner cannot have."""
    portable = options.view_as(PortableOptions)
    image = portable.environment_config or portable.lookup_environment_option(
        "docker_container_image"
    )
    if environment_type(options) == "DOCKER" and not image:
        yield (
            "--environment_config is missing: the workers are containers (--environment_type="
            "DOCKER), which need this template's image, with the frameworks in it; add "
            "--environment_config=IMAGE"
        )
    given = options.get_all_options(retain_unknown_options=True)
    for name, way_out in _PROGRAMS.items():
        path = str(given.get(name) or "")
        if path and is_local(path) and not Path(path).is_file():
            yield f"--{name}: found no file '{path}'; {way_out}"
    if endpoint := str(portable.job_endpoint or ""):
        yield from _unanswered(endpoint)
    if portable.output_executable_path:
        yield "--output_executable_path: this template runs jobs, it makes no jar of them"
    if not settings.inputs.streaming or works_here(options):
        return
    if not settings.refresh.release_dir:
        yield (
            "--release_dir is missing: a stream whose workers are other processes is ended by a "
            "mark there; add --release_dir=FOLDER, one that all workers see"
        )
    if settings.run.stop_after_records:
        yield (
            "--stop_after_records needs workers in this process (--environment_type=LOOPBACK): "
            "nobody counts the records of others together"
        )


def _unanswered(endpoint: str) -> Iterator[str]:
    """Beam would wait for a job server that is not there, without a word."""
    host, _, port = endpoint.rpartition(":")
    if not port.isdecimal():
        return  # a name that only gRPC knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECS).close()
    except (OSError, OverflowError) as error:
        yield (
            f"--job_endpoint: no job server answers at {endpoint} ({error}); start it first, or "
            "name the one that runs"
        )


def warnings(options: PipelineOptions) -> Iterator[str]:
    """What is known to go wrong with a stream and cannot be refused."""
    runner = options.view_as(StandardOptions).runner or ""
    if is_runner(PRISM, runner):
        yield (
            f"--runner: {PRISM} is for tests: it keeps what it reads in memory, and that is lost "
            "when it ends"
        )
    given = options.get_all_options(retain_unknown_options=True)
    if is_runner(ANY, runner) and "checkpointing_interval" not in given:
        yield (
            "--checkpointing_interval is missing: where the job server is Flink's, nothing is "
            "acknowledged without checkpoints, ever; add --checkpointing_interval=10000"
        )
    jar = str(options.view_as(FlinkRunnerOptions).flink_job_server_jar or "")
    found = _JAR_VERSION.search(jar)
    if found and (int(found[1]), int(found[2])) < _OLD_FLINK:
        yield (
            f"--flink_job_server_jar: {Path(jar).name} is older than 2.76: the checkpoints of a "
            "stream grow by 2 KB at each look of a source"
        )


def placement_of(options: PipelineOptions) -> Placement:
    """Which processes serve, and what they need."""
    if works_here(options):
        # A runner executes several bundles at once, in threads.
        return PlacementHere(usable_cores(), threads_share_models=True, several_processes=False)
    several = str(options.view_as(PortableOptions).sdk_worker_parallelism) != "1"
    return PlacementElsewhere(
        1 if several else 0, threads_share_models=True, several_processes=several
    )


def _log_problems(refresh: RefreshSettings) -> list[str]:
    if refresh.refresh_mode == "off" or refresh.release_dir:
        return []
    return [
        f"--release_dir is missing, and --refresh_mode={refresh.refresh_mode} needs it on a "
        "portable runner: workers follow the releases that are recorded there; add "
        "--release_dir=FOLDER, one that all workers see"
    ]


def _option_problems(options: PipelineOptions) -> list[str]:
    runner = create_runner(options.view_as(StandardOptions).runner)
    refused = PipelineOptionsValidator(options, runner).validate()
    return [" ".join(str(problem).split()) for problem in refused]


class PlacementHere(Placement):
    """Workers are threads of this process."""

    def option_problems(self, outputs: Outputs, options: PipelineOptions) -> list[str]:
        """See Placement."""
        return _option_problems(options)

    def refresh_problems(self, refresh: RefreshSettings) -> list[str]:
        """See Placement."""
        return _log_problems(refresh)


class PlacementElsewhere(RemotePlacement):
    """Workers are other processes. Whether they see a local folder cannot be known here."""

    heeds_stop_marks: ClassVar[bool] = True

    def option_problems(self, outputs: Outputs, options: PipelineOptions) -> list[str]:
        """See Placement."""
        return _option_problems(options)

    def refresh_problems(self, refresh: RefreshSettings) -> list[str]:
        """See Placement."""
        return _log_problems(refresh)
