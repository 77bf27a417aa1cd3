"""Jobs handed to a service (Dataflow), which has sources and sinks of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from google.api_core.exceptions import GoogleAPICallError

from pipeline.connectors.bigquery.names import TableName
from pipeline.connectors.bigquery.sink import InsertByService, ToRows
from pipeline.connectors.files.rolling.sink import WriteGroups
from pipeline.connectors.files.watched.source import ReadNewFiles
from pipeline.connectors.pubsub.sink import PublishByService
from pipeline.connectors.pubsub.source import ReadByService
from pipeline.errors import LaunchError, ServiceError
from pipeline.formats.format import Reading
from pipeline.jobs import report
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.contract import Events
from pipeline.jobs.engines.keyed_gate import add_keyed_gate
from pipeline.jobs.progress import Progress
from pipeline.jobs.stream import build_stream
from pipeline.launch import dataflow_workers
from pipeline.launch.checks import credential_problems
from pipeline.launch.job import Job
from pipeline.launch.outputs import LINES_SUFFIX
from pipeline.launch.placement import Placement, RemotePlacement
from pipeline.launch.settings import Settings, WorkerSettings
from pipeline.releases.watcher import WatcherHandle
from pipeline.report.page.facts import EngineNotes
from pipeline.runner.stopping import stopped as process_stopped
from pipeline.transforms.check_share import CheckShare
from pipeline.transforms.encode import OUTCOMES
from pipeline.transforms.refresh_messages import BundleLookout
from pipeline.transforms.waiting import all_complete


class Service:
    """See JobEngine. A job is submitted, and nothing is waited for.

    A template launch has no job to wait for.
    """

    notes = EngineNotes(
        page_interval="every minute or two",
        release_change="Workers change to a release at different moments. ",
    )
    small_bundles = True
    retries_for_ever = True
    file_secs = 60
    outcome_outputs = (OUTCOMES,)

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
    ) -> ReadByService:
        """See Engine. No message waits, and whoever drains the job ends the source."""
        return ReadByService(
            subscription=subscription,
            topic=topic,
            block_rows=block_rows,
            id_label=id_label,
            timestamp_attribute=timestamp_attribute,
        )

    def read_files(
        self,
        pipeline: Any,
        pattern: str,
        reading: Reading,
        output_path: str,
        stopped: Callable[[], bool] = process_stopped,
    ) -> Any:
        """See Engine. A service remembers by itself what was read."""
        blocks = pipeline | "Read" >> ReadNewFiles(pattern, reading, stopped=stopped)
        return blocks | "Spread" >> beam.Reshuffle()

    def write_lines(self, prefix: str, roll_secs: float) -> WriteGroups:
        """See Engine."""
        return WriteGroups(prefix, LINES_SUFFIX, roll_secs)

    def publish(self, topic: str) -> PublishByService:
        """See Engine."""
        return PublishByService(topic)

    def insert(self, table: TableName, to_rows: ToRows) -> InsertByService:
        """See Engine."""
        return InsertByService(table, to_rows)

    def write_page(self, statistics: Sequence[Any], job: Job, options: PipelineOptions) -> None:
        """See Engine. A worker writes the page."""
        page = report.page_of(job, options, self.notes)
        report.report_every_minute(statistics | "Statistics" >> beam.Flatten(), page)

    def check_outcomes(self, outputs: Any, most_percent: float, done: Sequence[Any]) -> None:
        """See JobEngine. Nobody waits for the job and counts."""
        check = CheckShare(most_percent, all_complete(done, "Done"))
        _ = outputs[OUTCOMES] | "CheckDeadLetters" >> check

    def lookout(self, watcher: WatcherHandle) -> BundleLookout:
        """See JobEngine. The source of the watcher may be in another process."""
        return BundleLookout(watcher)

    def gate(self, pipeline: Any, sources: dict[str, Any], job: Job) -> Events:
        """See JobEngine. Any process may be the one that judges."""
        return add_keyed_gate(sources, job)

    def check(self, settings: Settings, options: PipelineOptions, progress: Progress) -> None:
        """See JobEngine. What else a service refuses is known to the placement's checks."""
        if not settings.run.dry_run and (problems := credential_problems(options)):
            raise LaunchError(problems)

    def placement(self, options: PipelineOptions) -> Placement:
        """One process for each core, or one with all of them; each has a dozen threads."""
        alone = dataflow_workers.has_one_process(options)
        return RemotePlacement(
            intra_op_threads=0 if alone else 1,
            threads_share_models=True,
            several_processes=not alone,
        )

    def describe_workers(self, settings: WorkerSettings, options: PipelineOptions) -> str:
        """See JobEngine."""
        return dataflow_workers.describe_workers(options)

    def run(self, job: Job, options: PipelineOptions, progress: Progress) -> None:
        """See JobEngine.

        Raises:
          ServiceError: it refuses the job.
        """
        pipeline = beam.Pipeline(options=options)
        build = build_stream if job.settings.inputs.streaming else build_batch
        build(pipeline, job, self)
        try:
            result = pipeline.run()
        except GoogleAPICallError as error:
            raise ServiceError(
                f"Dataflow refuses the job: {error.message}; whoever launches needs "
                "roles/dataflow.developer, and roles/iam.serviceAccountUser on the workers' account"
            ) from error
        if template := options.view_as(GoogleCloudOptions).template_location:
            progress.say(f"wrote the job to {template}")
        else:
            progress.say(f"submitted job {result.job_id()}")
