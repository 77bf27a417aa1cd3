"""Jobs in this process and its children: our own sources and sinks, and a gate beside the stream.

The local runner has one thread for all bundles, which a verdict would hold up. So the gate has a
thread of its own here, and tells the process's ReleaseManager directly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

import pipeline as package
from pipeline.connectors.bigquery.names import TableName
from pipeline.connectors.bigquery.sink import InsertRows, ToRows
from pipeline.connectors.files.rolling.sink import AppendLines, WriteObjects, write_at_once
from pipeline.connectors.files.watched.source import ReadNewFiles
from pipeline.connectors.pubsub.reader import always
from pipeline.connectors.pubsub.sink import PublishMessages
from pipeline.connectors.pubsub.source import PollMessages
from pipeline.formats.format import Reading
from pipeline.jobs import report
from pipeline.jobs.engines.contract import Events
from pipeline.jobs.engines.waited_batch import run_batch
from pipeline.jobs.local_stream import check_local_stream, run_stream
from pipeline.jobs.progress import Progress
from pipeline.launch import dataflow_workers
from pipeline.launch.job import Job
from pipeline.launch.outputs import LINES_SUFFIX
from pipeline.launch.placement import Placement
from pipeline.launch.settings import Settings, WorkerSettings
from pipeline.releases.watcher import WatcherHandle
from pipeline.report.page.facts import EngineNotes
from pipeline.runner.local_runner import local_runner
from pipeline.runner.stopping import stopped as process_stopped
from pipeline.runner.ticks import Ticks
from pipeline.serving.cores import usable_cores
from pipeline.transforms.gate import LocalGate
from pipeline.transforms.refresh_messages import WatcherLookout

_TICK_SECS = 0.2


class Local:
    """See JobEngine. A run is waited for and summed up, so no step has to check its outcomes."""

    notes = EngineNotes(page_interval="every minute", release_change="")
    small_bundles = False
    retries_for_ever = False
    file_secs = 5
    outcome_outputs: tuple[str, ...] = ()

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
    ) -> PollMessages:
        """See Engine."""
        return PollMessages(
            subscription=subscription,
            topic=topic,
            block_rows=block_rows,
            patience_secs=patience_secs,
            stopped=stopped,
            settled=settled or always,
            required=required,
        )

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
        read = ReadNewFiles(pattern, reading, stopped=stopped, journal=journal)
        return pipeline | "Read" >> read

    def write_lines(self, prefix: str, roll_secs: float) -> AppendLines | WriteObjects:
        """See Engine."""
        return write_at_once(prefix, LINES_SUFFIX, roll_secs)

    def publish(self, topic: str) -> PublishMessages:
        """See Engine."""
        return PublishMessages(topic)

    def insert(self, table: TableName, to_rows: ToRows) -> InsertRows:
        """See Engine."""
        return InsertRows(table, to_rows)

    def write_page(self, statistics: Sequence[Any], job: Job, options: PipelineOptions) -> None:
        """See Engine. The statistics stay in this process; `run_stream` makes the page of them."""
        report.keep(statistics, job.handle.job_key)

    def check_outcomes(self, outputs: Any, most_percent: float, done: Sequence[Any]) -> None:
        """See JobEngine."""

    def lookout(self, watcher: WatcherHandle) -> WatcherLookout:
        """See JobEngine."""
        return WatcherLookout(watcher)

    def gate(self, pipeline: Any, sources: dict[str, Any], job: Job) -> Events:
        """See JobEngine."""
        assert job.refresh is not None, "somebody proposes candidates"
        # Candidates and ticks go through steps of their own: together they would pass a Flatten,
        # which ends the fused stage, for nothing.
        ticks = pipeline | "Ticks" >> Ticks(_TICK_SECS, job.stopped)
        events = {}
        for name, source in {**sources, "Ticks": ticks}.items():
            gate = LocalGate(job.refresh.queue, job.handle)
            events[f"Gate {name}"] = source | f"Gate[{name}]" >> beam.ParDo(gate)
        return events

    def check(self, settings: Settings, options: PipelineOptions, progress: Progress) -> None:
        """See JobEngine."""
        if settings.inputs.streaming:
            check_local_stream(options)
        if settings.workers.accelerator and not settings.run.dry_run:
            progress.say("warning: --accelerator has no effect on a local run")

    def placement(self, options: PipelineOptions) -> Placement:
        """All processes share the cores of this machine; workers that are threads, models too."""
        direct = options.view_as(DirectOptions)
        workers = direct.direct_num_workers or os.cpu_count() or 1  # 0: as many as Beam counts
        processes = workers if direct.direct_running_mode == "multi_processing" else 1
        return Placement(
            intra_op_threads=max(1, usable_cores() // processes),
            threads_share_models=workers > processes,
            several_processes=processes > 1,
        )

    def describe_workers(self, settings: WorkerSettings, options: PipelineOptions) -> str:
        """See JobEngine. Whoever names an accelerator thinks of Dataflow."""
        return dataflow_workers.describe_workers(options) if settings.accelerator else ""

    def run(self, job: Job, options: PipelineOptions, progress: Progress) -> None:
        """See JobEngine.

        Raises:
          OutputError: a batch job has too many dead letters.
        """
        if job.settings.inputs.streaming:
            run_stream(self, job, options, progress, local_runner())
            return
        if options.view_as(DirectOptions).direct_running_mode == "multi_processing":
            job.handle.close()  # the workers load their own
        _let_children_import_us()
        run_batch(self, job, options, progress, local_runner())


def _let_children_import_us() -> None:
    """Worker processes started by the local runner find this package as we do."""
    assert package.__file__ is not None
    root = str(Path(package.__file__).parents[1])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, known)])
