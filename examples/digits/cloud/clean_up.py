"""Removes all that a run made. It needs to know no more than the run's name, so it can come later.

Jobs go first: what they write would come again. What is not there is no problem.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TypeVar

from cloud.bounds import Bounds, OverdueError
from cloud.dataflow import CANCELLED, CLEAN_UP_MINUTES, Dataflow
from cloud.pubsub import PubSub
from cloud.rest import ApiError, Rest
from cloud.settings import JOBS, TOPICS_IN, TOPICS_OUT, Settings
from cloud.storage import Storage

_FORBIDDEN = {401, 403}
T = TypeVar("T")


def remove_all(
    rest: Rest,
    settings: Settings,
    say: Callable[[str], None],
    launched: Collection[str] = (),
    most_secs: float = CLEAN_UP_MINUTES * 60,
) -> list[str]:
    """Removes what there is of a run.

    Args:
      rest: Google's services.
      settings: names the run.
      say: prints a line.
      launched: ids of jobs that are known to be launched, whatever the lists show by now.
      most_secs: how long to wait for the end of the jobs.

    Returns:
      what could not be removed, each with the reason; empty if all is gone.
    """
    say(f"removing everything of {settings.run_id}")
    left: list[str] = []
    for what, action in _actions(rest, settings, launched, most_secs):
        try:
            action()
        except Exception as error:  # whatever it is, the rest has to go
            left.append(f"{what}: {error}")
            say(f"  NOT removed: {what}: {error}")
    if left:
        say(f"  once more: {again(settings)}")
    return left


def again(settings: Settings) -> str:
    """The command that removes what a run left behind."""
    return (
        f"make first-launch-remove RUN={settings.run_id} PROJECT={settings.project} "
        f"REGION={settings.region} BUCKET={settings.bucket}"
    )


def _actions(
    rest: Rest, settings: Settings, launched: Collection[str], most_secs: float
) -> Iterator[tuple[str, Callable[[], None]]]:
    pubsub, storage = PubSub(rest), Storage(rest)
    jobs = _Jobs(Dataflow(rest, settings), settings, launched)
    files = f"files under {settings.folder}"
    yield "jobs", partial(jobs.end, most_secs)
    for name in (*TOPICS_IN, *TOPICS_OUT):
        for each in (settings.subscription(name), settings.topic(name)):
            yield each, partial(pubsub.remove, each)
    yield files, partial(_remove_files, storage, settings)
    # A launch that was interrupted may show its job only now.
    before = len(jobs.cancelled)
    yield "jobs, at a second look", partial(jobs.end, most_secs)
    if len(jobs.cancelled) > before:
        yield files, partial(_remove_files, storage, settings)


class _Jobs:
    """The jobs of a run, those that are known and those that the lists show.

    Attributes:
      cancelled: ids of those that were asked to end.
    """

    def __init__(self, dataflow: Dataflow, settings: Settings, launched: Collection[str]) -> None:
        self._dataflow = dataflow
        self._settings = settings
        self._launched = launched
        self._problems: dict[str, Exception] = {}
        self._waits: set[str] = set()
        self.cancelled: set[str] = set()

    def end(self, most_secs: float) -> None:
        """Cancels all, also those that appear meanwhile, and waits until they have ended.

        Raises:
          OverdueError: some have not, or nobody knows; the message names each with the reason.
        """
        told = self._settings
        # Its own clock: the bounds of the run may be what ended it.
        bounds = Bounds(self._dataflow, float("inf"), float("inf"), told.poll_secs, told.dry_run)
        try:
            bounds.wait("the end of the jobs", self._are_over, most_secs)
        except OverdueError as error:
            raise OverdueError(f"{error}: {self._reasons()}") from error
        if self._problems:
            raise OverdueError(self._reasons())

    def _are_over(self) -> bool:
        """One look: cancels what lives. True also where no further look would help."""
        self._problems = {}
        alive: set[str] = set()
        for name in map(self._settings.job, JOBS):
            alive |= self._asked(name, partial(self._dataflow.alive, name)) or set()
        for job_id in {*self._launched, *self.cancelled} - alive:
            if self._asked(job_id, partial(self._dataflow.has_ended, job_id)) is False:
                alive.add(job_id)
        for job_id in sorted(alive - self.cancelled):
            self._asked(job_id, partial(self._cancel, job_id))
        self._waits = alive - self._problems.keys()
        forbidden = all(
            isinstance(each, ApiError) and each.status in _FORBIDDEN
            for each in self._problems.values()
        )
        return not self._waits and forbidden

    def _cancel(self, job_id: str) -> None:
        self._dataflow.request(job_id, CANCELLED)
        self.cancelled.add(job_id)

    def _asked(self, of: str, call: Callable[[], T]) -> T | None:
        """The answer of a call; None if there is none, which is noted: the others go on."""
        try:
            return call()
        except Exception as error:  # also an answer of another form
            self._problems[of] = error
            return None

    def _reasons(self) -> str:
        waits = [f"{job_id} was cancelled and lives on" for job_id in sorted(self._waits)]
        return "; ".join([*waits, *(f"{of}: {error}" for of, error in self._problems.items())])


def _remove_files(storage: Storage, settings: Settings) -> None:
    for uri in storage.list(f"{settings.folder}/"):
        storage.remove(uri)
