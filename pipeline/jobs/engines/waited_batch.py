"""Runs a checked batch job that is waited for, and sums it up."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.backends.reasons import with_type
from pipeline.batch.metrics import DEAD_LETTERS, NAMESPACE, PREDICTIONS
from pipeline.connectors.files.earlier_files import EarlierFiles
from pipeline.connectors.files.write import remove_unfinished
from pipeline.errors import OutputError, PathError
from pipeline.jobs import summary
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.contract import JobEngine
from pipeline.jobs.progress import BatchStatus, Progress
from pipeline.launch.job import Job
from pipeline.launch.outputs import check_seen
from pipeline.launch.settings import Content
from pipeline.report.dead_letter_share import share_problem
from pipeline.transforms.tally import process_tally

_RUN = f"{NAMESPACE}/run"
_STARTED = "started"
"""Counted once by each run, also by one without records: no metrics without it."""


class UncountedError(Exception):
    """The runner does not tell what the steps of a job counted."""


def run_batch(
    engine: JobEngine, job: Job, options: PipelineOptions, progress: Progress, runner: Any = None
) -> None:
    """Runs the job to its end, and prints what became of the records.

    Args:
      engine: where it runs.
      job: passed its checks.
      options: Beam's.
      progress: told how far it is.
      runner: Beam's; None for that of the options.

    Raises:
      OutputError: it has too many dead letters, or whether it has cannot be told; or its files
        are not here.
    """
    pipeline = beam.Pipeline(runner=runner, options=options)
    folders = build_batch(pipeline, job, engine)
    _ = pipeline | "Start" >> beam.Impulse() | "Started" >> beam.Map(_count_start)
    progress.say(f"running ensemble '{job.graph.spec.name}', release {job.release.release_id}")
    started = progress.elapsed_secs
    with progress.showing(BatchStatus(process_tally(job.handle.job_key))):
        try:
            result = pipeline.run()
            result.wait_until_finish()
        except BaseException as error:
            remove_unfinished(folders, error)
            raise
    most = job.settings.run.max_dead_letter_percent
    try:
        counters = _counters(result)
    except UncountedError as error:
        _say_uncounted(error, job.earlier, most, progress)
        return
    print(summary.summary(counters, job, progress.elapsed_secs - started))
    predictions, dead_letters = counters.get(PREDICTIONS, 0), counters.get(DEAD_LETTERS, 0)
    written = {Content.PREDICTIONS: predictions, Content.DEAD_LETTERS: dead_letters}
    try:
        check_seen(job.settings.outputs, job.earlier, written)
    except PathError as error:
        raise OutputError(str(error)) from error
    if problem := share_problem(predictions, dead_letters, most):
        raise OutputError(problem)


def _count_start(impulse: bytes) -> None:
    Metrics.counter(_RUN, _STARTED).inc()


def _say_uncounted(
    error: UncountedError, earlier: EarlierFiles, most_percent: float, progress: Progress
) -> None:
    """Says that nobody knows what became of the records; raises where the user set a limit."""
    place = "the output is complete"
    if earlier.names and not any(earlier.added()):
        place = "no new file of the output is here (have the workers disks of their own?)"
    found = f"{place}; {error}, so how many dead letters there are is not known"
    if most_percent < 100:
        raise OutputError(
            f"{found}: --max_dead_letter_percent={most_percent:g} cannot be checked; count the "
            "lines of the dead letters, or leave the parameter out on this runner"
        )
    progress.say(f"warning: {found}; look at its dead letters")


def _counters(result: Any) -> dict[str, int]:
    """Name -> value, of this project's counters.

    Raises:
      UncountedError: the runner does not have them.
    """
    try:
        found = result.metrics().query(MetricsFilter().with_namespaces([NAMESPACE, _RUN]))
    except Exception as error:  # whatever a job server that has none answers
        raise UncountedError(f"the runner gives no metrics ({with_type(error)})") from error
    counters: dict[str, int] = {}
    for counter in found["counters"]:
        name = counter.key.metric.name
        counters[name] = counters.get(name, 0) + (counter.result or 0)
    if not counters.pop(_STARTED, 0):
        raise UncountedError("the runner gives no metrics")
    return counters
