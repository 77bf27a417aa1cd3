"""What a job asks of the engine that it runs on. `jobs.run` chooses one by Beam's ``--runner``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.jobs.progress import Progress
from pipeline.launch.job import Job
from pipeline.launch.placement import Placement
from pipeline.launch.settings import Settings, WorkerSettings
from pipeline.releases.watcher import WatcherHandle
from pipeline.report.page.facts import EngineNotes
from pipeline.runner.engine import Engine
from pipeline.transforms.refresh_messages import Lookout

Events = dict[str, Any]
"""Where release events come from -> the PCollection of them."""


class JobEngine(Engine, Protocol):
    """An Engine that launches jobs, and that has a gate for streams."""

    @property
    def notes(self) -> EngineNotes:
        """What a report page says of the engine."""

    @property
    def small_bundles(self) -> bool:
        """Whether a bundle of messages may hold one or two, however many wait."""

    @property
    def retries_for_ever(self) -> bool:
        """Whether a bundle of a stream that raises is run again and again: the stream stalls."""

    @property
    def outcome_outputs(self) -> tuple[str, ...]:
        """Which outputs of Encode `check_outcomes` reads."""

    def check_outcomes(self, outputs: Any, most_percent: float, done: Sequence[Any]) -> None:
        """Add steps to a batch job that fail it in the end if it has too many dead letters.

        Args:
          outputs: of Encode.
          most_percent: see `report.dead_letter_share`.
          done: complete when all outputs are, as PCollections.
        """

    def lookout(self, watcher: WatcherHandle) -> Lookout:
        """What looks for new versions when a message says that there are some."""

    def gate(self, pipeline: Any, sources: dict[str, Any], job: Job) -> Events:
        """Add the gate to a stream that refreshes its models.

        Args:
          pipeline: for further sources.
          sources: PCollections of candidates, by name.
          job: has a `refresh`.

        Returns:
          the events of the gate. The releases that it accepts are in the release log.
        """

    def check(self, settings: Settings, options: PipelineOptions, progress: Progress) -> None:
        """Refuse what the engine cannot do, and say what has no effect there.

        Raises:
          LaunchError: it must not start.
        """

    def placement(self, options: PipelineOptions) -> Placement:
        """Which processes serve."""

    def describe_workers(self, settings: WorkerSettings, options: PipelineOptions) -> str:
        """The workers, for a dry run; empty where there are none to choose."""

    def run(self, job: Job, options: PipelineOptions, progress: Progress) -> None:
        """Build the pipeline of a checked job and run it, or hand it over.

        Raises:
          Exception: whatever stopped it.
        """
