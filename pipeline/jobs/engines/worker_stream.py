"""Waits for a stream whose workers are other processes; the marks in its release folder end it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from pipeline.errors import ArtifactError
from pipeline.jobs.engines.contract import JobEngine
from pipeline.jobs.local_stream import stop_on_signals
from pipeline.jobs.progress import Progress
from pipeline.jobs.stream import build_stream
from pipeline.launch.job import Job
from pipeline.runner import stopping

_LOOK_SECS = 0.2
RETRY_SECS = 5.0
_OUT = (
    "until it is written the job runs on: grant the right to write there, or run "
    "`python -m pipeline stop` where that folder can be written. To cancel the job at its runner "
    "loses what is not in output files yet"
)


def run_on_workers(
    engine: JobEngine, job: Job, options: PipelineOptions, progress: Progress
) -> None:
    """Runs until somebody stops the job, or SIGINT, SIGTERM or ``stop_after_secs`` does."""
    stopping.stop_signal.clear()
    with job.failure_noted():
        pipeline = beam.Pipeline(options=options)
        build_stream(pipeline, job, engine)
    progress.say(
        f"streaming through ensemble '{job.graph.spec.name}', release {job.release.release_id}"
    )
    with (
        stop_on_signals(progress),
        stop_marked(job, progress),
        _stop_after(job.settings.run.stop_after_secs, progress),
    ):
        with job.failure_noted():
            result = pipeline.run()
        wait_for_end(result, job)
    progress.say("the stream has ended; its metrics are with the runner")


def wait_for_end(result: Any, job: Job) -> None:
    """Waits for a stream that was submitted, and notes its end, also if it failed.

    Where only the connection to the runner is lost, the stream may go on, and a note would end it.

    Args:
      result: Beam's, of the run.
      job: the stream.
    """
    try:
        result.wait_until_finish()
    except BaseException:
        if _has_ended(result):
            job.note_end()
        raise
    job.note_end()


def _has_ended(result: Any) -> bool:
    try:
        return bool(PipelineState.is_terminal(result.state))
    except Exception:  # the runner does not answer
        return False


@contextmanager
def stop_marked(job: Job, progress: Progress) -> Iterator[None]:
    """Meanwhile tells the workers when this process is asked to stop, as often as it takes.

    The job of a runner is not cancelled where the mark is refused: what its sinks have grouped and
    not written would be lost, since it is acknowledged.

    Args:
      job: the stream. A signal's handler cannot write, so a thread calls its `stop`.
      progress: told once, with the ways out, if the release folder refuses the mark.
    """
    done = threading.Event()

    def watch() -> None:
        said = False
        while not done.wait(RETRY_SECS if said else _LOOK_SECS):
            if stopping.stopped():
                try:
                    job.stop("the process that launched the job")
                except ArtifactError as error:
                    if not said:  # a job that follows another one may have no right to write
                        progress.say(
                            f"warning: workers are not asked to stop: {error}; trying again: {_OUT}"
                        )
                    said = True
                    continue
                return

    thread = threading.Thread(target=watch, name="stop-mark", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _stop_after(secs: int, progress: Progress) -> Iterator[None]:
    def stop() -> None:
        progress.say(f"stopping after {secs} s")
        stopping.stop_all()

    timer = threading.Timer(secs, stop)
    timer.daemon = True
    if secs:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
