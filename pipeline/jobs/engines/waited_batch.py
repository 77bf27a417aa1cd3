"""Runs a checked batch job that is waited for, and sums it up."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.batch.metrics import DEAD_LETTERS, NAMESPACE, PREDICTIONS
from pipeline.connectors.files.write import remove_unfinished
from pipeline.errors import OutputError
from pipeline.jobs import summary
from pipeline.jobs.batch import build_batch
from pipeline.jobs.engines.contract import JobEngine
from pipeline.jobs.progress import BatchStatus, Progress
from pipeline.launch.job import Job
from pipeline.report.dead_letter_share import share_problem
from pipeline.transforms.tally import process_tally


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
      OutputError: it has too many dead letters.
    """
    pipeline = beam.Pipeline(runner=runner, options=options)
    folders = build_batch(pipeline, job, engine)
    progress.say(f"running ensemble '{job.graph.spec.name}', release {job.release.release_id}")
    started = progress.elapsed_secs
    with progress.showing(BatchStatus(process_tally(job.handle.job_key))):
        try:
            result = pipeline.run()
            result.wait_until_finish()
        except BaseException as error:
            remove_unfinished(folders, error)
            raise
    counters = _counters(result)
    print(summary.summary(counters, job, progress.elapsed_secs - started))
    predictions, dead_letters = counters.get(PREDICTIONS, 0), counters.get(DEAD_LETTERS, 0)
    most = job.settings.run.max_dead_letter_percent
    if problem := share_problem(predictions, dead_letters, most):
        raise OutputError(problem)


def _counters(result: Any) -> dict[str, int]:
    counters: dict[str, int] = {}
    for counter in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        name = counter.key.metric.name
        counters[name] = counters.get(name, 0) + (counter.result or 0)
    return counters
