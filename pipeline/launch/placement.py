"""Where the processes of a job run, and what has to be checked before because of that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.launch import hub as launch_hub
from pipeline.launch.checks import service_problems
from pipeline.launch.settings import LaunchChecks, Outputs, RefreshSettings
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.release_manager import ManagerHandle
from pipeline.spec.graph import Graph
from pipeline.spec.uris import bucket_of


@dataclass(frozen=True)
class Placement:
    """Processes on this machine: the one that launches, and its children.

    Attributes:
      intra_op_threads: see FrameworkLoader.
      threads_share_models: several threads of a process call the same models.
      several_processes: a machine has more than one process that serves.
      loads_apart: the process that launches loads no model; trials do (see `serving.trial`).
      heeds_stop_marks: all sources of a stream are ours, so they can look for a mark in the release
        folder; a service drains its own.
    """

    intra_op_threads: int
    threads_share_models: bool
    several_processes: bool

    loads_apart: ClassVar[bool] = False
    heeds_stop_marks: ClassVar[bool] = True

    def option_problems(self, outputs: Outputs, options: PipelineOptions) -> list[str]:
        """What is wrong with Beam's options and the places that they name."""
        return []

    def refresh_problems(self, refresh: RefreshSettings) -> list[str]:
        """What is wrong with how models are refreshed."""
        return []

    def check_problems(self, launch_checks: LaunchChecks) -> list[str]:
        """What is wrong with ``--launch_checks``."""
        if launch_checks == "full":
            return []
        return [
            f"--launch_checks={launch_checks} is for jobs whose workers are other machines or "
            "processes: here the models serve where they are checked; leave it out"
        ]

    def cache_problems(self, folder: str, graph: Graph, say: Callable[[str], None]) -> list[str]:
        """What is wrong with ``--model_cache_dir``."""
        return []

    def for_checks(self, handle: ManagerHandle, managers: ManagerFactory) -> ManagerHandle:
        """Where the checks load models: where they will serve, unless several processes share any.

        Args:
          handle: of the models that will serve.
          managers: makes what is behind it.
        """
        return handle if managers.loader.sharing is None else _apart(handle, managers)


class RemotePlacement(Placement):
    """Processes on other machines. The one that launches has no GPU."""

    loads_apart: ClassVar[bool] = True
    heeds_stop_marks: ClassVar[bool] = False

    def option_problems(self, outputs: Outputs, options: PipelineOptions) -> list[str]:
        """See Placement."""
        return service_problems(outputs.report_path, options)

    def refresh_problems(self, refresh: RefreshSettings) -> list[str]:
        """See Placement. Workers hear of releases in the release log only."""
        folder = refresh.release_dir
        if refresh.refresh_mode == "off" or bucket_of(folder):
            return []
        found = f"found '{folder}'" if folder else "it is missing"
        return [
            f"--release_dir: {found}, and --refresh_mode={refresh.refresh_mode} needs it on a "
            "service, in Cloud Storage: workers follow the releases that are recorded there; add "
            "--release_dir=gs://BUCKET/releases/JOB"
        ]

    def check_problems(self, launch_checks: LaunchChecks) -> list[str]:
        """See Placement. Workers check what the launch does not."""
        return []

    def cache_problems(self, folder: str, graph: Graph, say: Callable[[str], None]) -> list[str]:
        """See Placement."""
        return launch_hub.cache_problems(folder, graph, say)

    def for_checks(self, handle: ManagerHandle, managers: ManagerFactory) -> ManagerHandle:
        """Apart, on the CPU."""
        return _apart(handle, managers, cpu_only=True)


def _apart(
    handle: ManagerHandle, managers: ManagerFactory, *, cpu_only: bool = False
) -> ManagerHandle:
    """Models of this process's own, which are freed before the job starts."""
    loader = dataclasses.replace(managers.loader, cpu_only=cpu_only, sharing=None)
    return ManagerHandle(f"{handle.job_key}-checks", dataclasses.replace(managers, loader=loader))
