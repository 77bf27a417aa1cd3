"""A mark in the release folder ends the sources of each process of a job."""

import pickle
from datetime import UTC, datetime

import pytest

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError
from pipeline.releases.orders.jobs import JobFolder
from pipeline.releases.orders.stop_watcher import StopHandle, StopWatcher, StopWatcherFactory
from pipeline.runner import stopping
from tests.support.waiting import wait_until

NOW = datetime(2025, 1, 1, tzinfo=UTC)
SOON_SECS = 0.01
JOB = "digits-20250101T000000Z-0123abcd"


class Storage(LogFiles):
    """Counts what is asked, and may be away."""

    away = False
    reads = 0

    def read(self, uri):
        type(self).reads += 1
        if type(self).away:
            raise ArtifactError("the storage does not answer")
        return super().read(uri)


@pytest.fixture
def storage():
    """A storage of the test's own."""
    return type("OwnStorage", (Storage,), {})


@pytest.fixture
def jobs(tmp_path, storage):
    return JobFolder(str(tmp_path), storage())


@pytest.fixture
def watcher(jobs):
    made = StopWatcher(jobs, JOB, poll_secs=SOON_SECS)
    yield made
    made.close()


def test_mark_of_the_job_stops_it_and_that_of_another_does_not(jobs, storage, watcher, caplog):
    jobs.stop("other-20250101T000000Z-0123abcd", "a person", NOW)
    asked = storage.reads
    wait_until(lambda: storage.reads > asked + 3)
    assert not watcher.is_stopped()
    jobs.stop(JOB, "a person", NOW)
    wait_until(watcher.is_stopped)
    assert f"stop/{JOB}.json, made by a person" in caplog.text


def test_storage_that_is_away_is_said_once_and_stops_nothing(jobs, storage, watcher, caplog):
    storage.away = True
    asked = storage.reads
    wait_until(lambda: storage.reads > asked + 3)
    assert not watcher.is_stopped()
    jobs.stop(JOB, "a person", NOW)
    storage.away = False
    wait_until(watcher.is_stopped)
    assert caplog.text.count("cannot be looked for: the storage does not answer") == 1


def test_sources_of_a_process_share_one_watcher_and_a_signal_stops_them_too(tmp_path):
    jobs = JobFolder(str(tmp_path), LogFiles())
    handle = StopHandle("job key", StopWatcherFactory(jobs, JOB, SOON_SECS))
    travelled = pickle.loads(pickle.dumps(handle))
    stopping.stop_signal.clear()  # a stream that ran in this process before may have set it
    try:
        assert not handle()
        assert travelled.get() is handle.get()
        stopping.stop_all()
        assert handle()
        stopping.stop_signal.clear()
        assert not handle()
        handle.mark("SIGTERM")
        wait_until(travelled)
    finally:
        stopping.stop_signal.clear()
        handle.close()
