"""Runs a checked streaming job in this process until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipeline.connectors.files.rolling import sink as rolling_files
from pipeline.errors import ArtifactError, ParameterError
from pipeline.jobs.engines.contract import JobEngine
from pipeline.jobs.progress import Progress, StreamStatus
from pipeline.jobs.report import REFRESH_SECS, Page, page_of
from pipeline.jobs.stream import RELEASE_LOGGER, build_stream
from pipeline.launch.job import Job
from pipeline.launch.settings import RunSettings
from pipeline.report.statistics.served import EARLIER
from pipeline.runner import stopping
from pipeline.transforms.gathered import Gathered, process_statistics
from pipeline.transforms.tally import Tally, process_tally

_LOOK_SECS = 0.05


def check_local_stream(options: PipelineOptions) -> None:
    """Refuses what the local runner cannot do with a stream.

    Raises:
      ParameterError: more than one worker. Beam 2.77's local runner then forgets what its sources
        put off until later, so it would stop reading and say nothing.
    """
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers not in (None, 1) or (
        direct.direct_running_mode == "multi_processing"
    ):
        raise ParameterError(
            "--direct_num_workers: a local stream runs in one process with one worker, found "
            f"{direct.direct_num_workers} and --direct_running_mode={direct.direct_running_mode}; "
            "leave both out"
        )


def run_stream(
    engine: JobEngine, job: Job, options: PipelineOptions, progress: Progress, runner: Any = None
) -> None:
    """Reads until SIGINT, SIGTERM or a limit; then finishes what is in flight, and returns.

    Args:
      engine: where it runs, with all of its steps in this process.
      job: passed its checks.
      options: Beam's.
      progress: told how it goes.
      runner: Beam's; None for that of the options.
    """
    stopping.stop_signal.clear()  # an earlier stream of this process may have set it
    tally = process_tally(job.handle.job_key)
    with job.failure_noted():
        pipeline = beam.Pipeline(runner=runner, options=options)
        build_stream(pipeline, job, engine)
        page = page_of(job, options, engine.notes) if job.settings.outputs.report_path else None
    with (
        _releases_said(progress),
        stop_on_signals(progress),
        _stop_at_limits(job.settings.run, tally, progress),
        progress.showing(StreamStatus(tally, job.handle.get())),
        _page_kept_up(page, process_statistics(job.handle.job_key), progress),
    ):
        # Whoever reads this may send a signal, so the handlers are there by now.
        progress.say(
            f"streaming through ensemble '{job.graph.spec.name}', release {job.release.release_id}"
        )
        try:
            pipeline.run().wait_until_finish()
        finally:
            rolling_files.close_all()
            job.note_end()
    count = tally.read()
    print(
        f"{count.records:,} records: {count.predictions:,} predictions, "
        f"{count.dead_letters:,} dead letters"
    )
    for generation, predictions in sorted(count.by_generation.items()):
        whose = "earlier generations" if generation == EARLIER else f"generation {generation}"
        print(f"{predictions:>9,} by {whose}")


@contextmanager
def _page_kept_up(page: Page | None, gathered: Gathered, progress: Progress) -> Iterator[None]:
    """Writes the page now and then, and when the stream has ended, however it did."""
    if page is None:
        yield
        return
    done = threading.Event()

    def write() -> bool:
        try:
            page.write(gathered.read())
        except ArtifactError as error:
            progress.say(f"warning: --report_path: {error}")
            return False
        return True

    def keep_up() -> None:
        while not done.wait(REFRESH_SECS):
            write()

    thread = threading.Thread(target=keep_up, name="report", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if write():
            progress.say(f"report: {page.path}")


@contextmanager
def _releases_said(progress: Progress) -> Iterator[None]:
    """Shows what becomes of releases among the other lines, rather than as log records."""

    class Say(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.say(record.getMessage())

    handler, propagate, level = Say(), RELEASE_LOGGER.propagate, RELEASE_LOGGER.level
    RELEASE_LOGGER.addHandler(handler)
    RELEASE_LOGGER.propagate = False
    RELEASE_LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        RELEASE_LOGGER.removeHandler(handler)
        RELEASE_LOGGER.propagate = propagate
        RELEASE_LOGGER.setLevel(level)


@contextmanager
def stop_on_signals(progress: Progress) -> Iterator[None]:
    """The first signal stops the sources; a second one has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.stop_all()
        for each, handler in before.items():
            signal.signal(each, handler)
        progress.say(f"{signal.Signals(number).name}: finishing what is in flight")

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _stop_at_limits(settings: RunSettings, tally: Tally, progress: Progress) -> Iterator[None]:
    """Stops the sources after `stop_after_secs` or `stop_after_records`, if set."""
    done = threading.Event()

    def watch() -> None:
        waited_secs = 0.0
        while not done.wait(_LOOK_SECS):
            waited_secs += _LOOK_SECS
            records = tally.records()
            if 0 < settings.stop_after_secs <= waited_secs:
                progress.say(f"stopping after {settings.stop_after_secs} s")
            elif 0 < settings.stop_after_records <= records:
                progress.say(f"stopping after {records:,} records")
            else:
                continue
            stopping.stop_all()
            return

    thread = threading.Thread(target=watch, name="limits", daemon=True)
    if settings.stop_after_secs or settings.stop_after_records:
        thread.start()
    try:
        yield
    finally:
        done.set()
