"""Jobs on Beam's portable runners: our own sources and sinks, in any number of processes.

A job is waited for. Its workers are threads of this process (LOOPBACK) or processes of their own;
what goes through this process's memory is used in the first case only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline.connectors.bigquery.names import TableName
from pipeline.connectors.bigquery.sink import InsertRows, ToRows
from pipeline.connectors.files.rolling.sink import WriteGroups, write_at_once
from pipeline.connectors.files.watched.source import ReadNewFiles
from pipeline.connectors.pubsub.sink import PublishMessages
from pipeline.connectors.pubsub.source import PollMessages
from pipeline.errors import LaunchError
from pipeline.formats.format import Reading
from pipeline.jobs import report
from pipeline.jobs.engines.contract import Events
from pipeline.jobs.engines.keyed_gate import add_keyed_gate
from pipeline.jobs.engines.waited_batch import run_batch
from pipeline.jobs.engines.worker_stream import run_on_workers
from pipeline.jobs.local_stream import run_stream
from pipeline.jobs.progress import Progress
from pipeline.launch import portable
from pipeline.launch.job import Job
from pipeline.launch.outputs import LINES_SUFFIX
from pipeline.launch.placement import Placement
from pipeline.launch.settings import Settings, WorkerSettings
from pipeline.releases.watcher import WatcherHandle
from pipeline.report.page.facts import EngineNotes
from pipeline.runner.beam_types import PTransform
from pipeline.runner.finalization import answer_quietly
from pipeline.runner.loopback import stay_on_loopback
from pipeline.runner.orphans import end_with_this_process
from pipeline.runner.stopping import stopped as process_stopped
from pipeline.transforms.refresh_messages import BundleLookout


class Portable:
    """See JobEngine. A run is waited for and summed up, so no step has to check its outcomes.

    Args:
      options: Beam's, of the job.
    """

    notes = EngineNotes(
        page_interval="every minute or two",
        release_change="Workers change to a release at different moments. ",
    )
    small_bundles = False
    outcome_outputs: tuple[str, ...] = ()

    def __init__(self, options: PipelineOptions) -> None:
        runner = options.view_as(StandardOptions).runner or ""
        self._here = portable.works_here(options)
        # Prism keeps what is reshuffled or grouped in its memory and acknowledges it all the same:
        # when it dies, that is lost. On other engines it is safe there, and goes to all workers.
        self._keeps = not portable.is_runner(portable.PRISM, runner)
        self.retries_for_ever = self._keeps  # from its last checkpoint; Prism fails the job
        self.file_secs = 60 if self._keeps else 5

    def read_messages(
        self,
        *,
        subscription: str | None = None,
        topic: str | None = None,
        block_rows: int,
        patience_secs: float = 0.0,
        stopped: Callable[[], bool] = process_stopped,
        settled: Callable[[], bool] | None = None,
        required: bool = True,
        id_label: str = "",
        timestamp_attribute: str = "",
    ) -> PTransform:
        """See Engine."""
        read = PollMessages(
            subscription=subscription,
            topic=topic,
            block_rows=block_rows,
            patience_secs=patience_secs,
            stopped=stopped,
            confirms_late=True,
            required=required,
        )
        return _Spread(read) if self._keeps else read

    def read_files(
        self,
        pipeline: Any,
        pattern: str,
        reading: Reading,
        output_path: str,
        stopped: Callable[[], bool] = process_stopped,
    ) -> Any:
        """See Engine. The journal tells a later run what this one has read."""
        journal = f"{output_path}.read-journal" if output_path else None
        read = ReadNewFiles(pattern, reading, stopped=stopped, journal=journal, confirms_late=True)
        return pipeline | "Read" >> (_Spread(read) if self._keeps else read)

    def write_lines(self, prefix: str, roll_secs: float) -> PTransform:
        """See Engine. What is appended is there twice when a bundle is run once more.

        Prism runs none once more. Where its workers are other processes, nobody would close what
        they appended to.
        """
        if self._keeps or not self._here:
            return WriteGroups(prefix, LINES_SUFFIX, roll_secs)
        return write_at_once(prefix, LINES_SUFFIX, roll_secs)

    def publish(self, topic: str) -> PublishMessages:
        """See Engine."""
        return PublishMessages(topic)

    def insert(self, table: TableName, to_rows: ToRows) -> InsertRows:
        """See Engine."""
        return InsertRows(table, to_rows)

    def write_page(self, statistics: Sequence[Any], job: Job, options: PipelineOptions) -> None:
        """See Engine. This process makes the page, or a worker where there are others."""
        if self._here:
            report.keep(statistics, job.handle.job_key)
            return
        page = report.page_of(job, options, self.notes)
        report.report_every_minute(statistics | "Statistics" >> beam.Flatten(), page)

    def check_outcomes(self, outputs: Any, most_percent: float, done: Sequence[Any]) -> None:
        """See JobEngine."""

    def lookout(self, watcher: WatcherHandle) -> BundleLookout:
        """See JobEngine. The source of the watcher may be in another process."""
        return BundleLookout(watcher)

    def gate(self, pipeline: Any, sources: dict[str, Any], job: Job) -> Events:
        """See JobEngine."""
        return add_keyed_gate(sources, job)

    def check(self, settings: Settings, options: PipelineOptions, progress: Progress) -> None:
        """See JobEngine."""
        if settings.run.dry_run:
            return
        if problems := list(portable.problems(settings, options)):
            raise LaunchError(problems)
        for warning in portable.warnings(options) if settings.inputs.streaming else ():
            progress.say(f"warning: {warning}")
        if settings.workers.accelerator:
            progress.say("warning: --accelerator has an effect on Dataflow only")

    def placement(self, options: PipelineOptions) -> Placement:
        """See JobEngine."""
        return portable.placement_of(options)

    def describe_workers(self, settings: WorkerSettings, options: PipelineOptions) -> str:
        """See JobEngine."""
        return f"  --environment_type={portable.environment_type(options)}"

    def run(self, job: Job, options: PipelineOptions, progress: Progress) -> None:
        """See JobEngine.

        Raises:
          OutputError: a batch job has too many dead letters.
        """
        stay_on_loopback()
        end_with_this_process()
        answer_quietly()
        if not job.settings.inputs.streaming:
            run_batch(self, job, options, progress)
        elif self._here:
            run_stream(self, job, options, progress)
        else:
            run_on_workers(self, job, options, progress)


class _Spread(PTransform):
    """A source whose elements go to all workers."""

    def __init__(self, read: PTransform) -> None:
        super().__init__()
        self._read = read

    def expand(self, begin: Any) -> Any:
        return begin | self._read | "Spread" >> beam.Reshuffle()
