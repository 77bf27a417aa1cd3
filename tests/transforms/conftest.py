"""Pipelines that run in the background of a test, on the local runner, until it stops them."""

from __future__ import annotations

import itertools
import queue
import threading
from contextlib import contextmanager

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

_WAIT_SECS = 30
_keys = (f"job-{number}" for number in itertools.count())


class Collect(beam.DoFn):
    """Puts every element where the test waits for it."""

    queues: dict[str, queue.Queue] = {}  # noqa: RUF012  # shared on purpose

    def __init__(self, key):
        self._key = key

    def process(self, element):
        self.queues[self._key].put(element)


class Stop:
    """What a signal sets in a real job."""

    event = threading.Event()


def stopped():
    return Stop.event.is_set()


@pytest.fixture
def job_key():
    """The key of a job that no other test uses."""
    return next(_keys)


@pytest.fixture
def running(job_key):
    """``with running(*sources) as take``: `take()` waits for the next element of any source.

    A source takes the pipeline. They are not flattened: behind a Flatten the local runner waits for
    the end of the sources, which is the end of the test.
    """

    @contextmanager
    def run(*sources):
        found = Collect.queues[job_key] = queue.Queue()
        errors = []

        def body():
            try:
                with beam.Pipeline(FnApiRunner()) as pipeline:
                    for number, source in enumerate(sources):
                        _ = source(pipeline) | f"Collect{number}" >> beam.ParDo(Collect(job_key))
            except BaseException as error:
                errors.append(error)
                found.put(error)

        Stop.event.clear()
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        try:
            yield lambda: found.get(timeout=_WAIT_SECS)
        finally:
            Stop.event.set()
            thread.join(_WAIT_SECS)
        assert not thread.is_alive(), "the pipeline did not end"
        assert not errors
        assert found.empty(), f"nobody expected {found.get()}"

    return run


@pytest.fixture
def stop():
    """The picklable function that tells a source to end."""
    return stopped
