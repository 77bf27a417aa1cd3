"""Each process of a job looks whether somebody asked the job to end.

A signal reaches one process, and some engines put the sources of a job into others. A mark in the
release folder reaches all of them.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, replace

from pipeline.errors import ArtifactError, is_interrupt
from pipeline.readable import logger
from pipeline.releases.gate import utc_now
from pipeline.releases.orders.jobs import JobFolder
from pipeline.runner import stopping
from pipeline.runner.job_thread import CLOSE_SECS, JobThread
from pipeline.runner.outage import Outage
from pipeline.serving.process_handle import ProcessHandle

_LOGGER = logger(__name__)
_JITTER = 0.2


class StopWatcher:
    """Looks for the mark of one job, with one small read now and then, until it is there.

    Args:
      jobs: where the mark would be.
      job_id: of the job.
      poll_secs: between two looks, give or take a fifth.
    """

    def __init__(self, jobs: JobFolder, job_id: str, *, poll_secs: float) -> None:
        self._jobs = replace(jobs, storage=jobs.storage.for_polling())
        self._job_id = job_id
        self._poll_secs = poll_secs
        self._stopped = threading.Event()
        self._closed = threading.Event()
        self._outage = Outage(
            _LOGGER,
            jobs.folder,
            begins="stop marks in %(what)s cannot be looked for: %(why)s; the job goes on",
            ends="looking for stop marks in %(what)s works again, after %(secs).0f s",
        )
        self._thread = JobThread("look for stop marks", self._run)

    def is_stopped(self) -> bool:
        """Whether the job was asked to end.

        Raises:
          ThreadEndedError: nobody looks any more.
        """
        self._thread.check()
        return self._stopped.is_set()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._thread.join(CLOSE_SECS)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                if (mark := self._jobs.mark_of(self._job_id)) is not None:
                    _LOGGER.warning("%s asks the job to end: finishing what is in flight", mark)
                    self._stopped.set()
                    return
            except BaseException as error:  # whatever it is, the next look may go well
                if is_interrupt(error):
                    raise
                self._outage.begin(error, None if isinstance(error, ArtifactError) else error)
            else:
                self._outage.end()
            self._closed.wait(self._poll_secs * random.uniform(1 - _JITTER, 1 + _JITTER))


@dataclass(frozen=True)
class StopWatcherFactory:
    """Everything that a process needs to look for a mark. Can be pickled.

    Attributes:
      jobs, job_id, poll_secs: see StopWatcher.
    """

    jobs: JobFolder
    job_id: str
    poll_secs: float

    def __call__(self) -> StopWatcher:
        """A new watcher."""
        return StopWatcher(self.jobs, self.job_id, poll_secs=self.poll_secs)


@dataclass(frozen=True)
class StopHandle(ProcessHandle[StopWatcher]):
    """The StopWatcher of each process of a job. Sources call it: whether they are to end."""

    make: StopWatcherFactory

    def __call__(self) -> bool:
        """Whether the job was asked to end: by its mark, or in this process."""
        return stopping.stopped() or self.get().is_stopped()

    def mark(self, by: str) -> str:
        """Asks the job to end, in all of its processes; see JobFolder.stop."""
        return self.make.jobs.stop(self.make.job_id, by, utc_now())
