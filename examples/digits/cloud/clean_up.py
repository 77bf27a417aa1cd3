"""Removes all that a run made. It needs to know no more than the run's name, so it can come later.

Jobs go first: what they write would come again. What is not there is no problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from cloud.bounds import Bounds, OverdueError
from cloud.cost import CLEAN_UP_MINUTES
from cloud.dataflow import CANCELLED, Dataflow
from cloud.pubsub import PubSub
from cloud.rest import ApiError, Rest
from cloud.settings import JOBS, TOPICS_IN, TOPICS_OUT, Settings
from cloud.storage import Storage


def remove_all(rest: Rest, settings: Settings, say: Callable[[str], None]) -> list[str]:
    """Removes what there is of a run.

    Returns:
      what could not be removed, each with the reason; empty if all is gone.
    """
    say(f"removing everything of {settings.run_id}")
    left: list[str] = []
    for what, action in _actions(rest, settings):
        try:
            action()
        except (ApiError, OverdueError) as error:
            left.append(f"{what}: {error}")
            say(f"  NOT removed: {what}: {error}")
    if left:
        say(f"  once more: first_launch.py ... --remove={settings.run_id}")
    return left


def _actions(rest: Rest, settings: Settings) -> Iterator[tuple[str, Callable[[], None]]]:
    dataflow, pubsub, storage = Dataflow(rest, settings), PubSub(rest), Storage(rest)
    # Its own clock: the bounds of the run may be what ended it.
    bounds = Bounds(dataflow, 2 * CLEAN_UP_MINUTES, float("inf"), settings.poll_secs, rest.is_dry)
    jobs: list[str] = []
    for name in map(settings.job, JOBS):
        yield f"job {name}", partial(_cancel, dataflow, name, jobs)
    yield "jobs that are being cancelled", partial(_await_end, dataflow, bounds, jobs)
    for name in (*TOPICS_IN, *TOPICS_OUT):
        for each in (settings.subscription(name), settings.topic(name)):
            yield each, partial(pubsub.remove, each)
    yield f"files under {settings.folder}", partial(_remove_files, storage, settings)


def _cancel(dataflow: Dataflow, name: str, cancelled: list[str]) -> None:
    for job_id in dataflow.active(name):
        dataflow.request(job_id, CANCELLED)
        cancelled.append(job_id)


def _await_end(dataflow: Dataflow, bounds: Bounds, jobs: list[str]) -> None:
    for job_id in jobs:
        ended = partial(dataflow.has_ended, job_id)
        bounds.wait(f"the end of job {job_id}", ended, most_secs=CLEAN_UP_MINUTES * 60)


def _remove_files(storage: Storage, settings: Settings) -> None:
    for uri in storage.list(f"{settings.folder}/"):
        storage.remove(uri)
