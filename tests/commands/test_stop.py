"""`stop`: a mark in the release folder ends a stream, wherever its processes are."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import LaunchError
from pipeline.jobs import run as jobs_run
from pipeline.jobs.engines.worker_stream import wait_for_end
from pipeline.jobs.progress import Progress
from pipeline.launch import options
from pipeline.releases.orders.jobs import JobEntry, JobFolder, new_job_id
from tests.jobs.test_streaming import Stream


@pytest.fixture
def jobs(tmp_path):
    return JobFolder(str(tmp_path), LogFiles())


def enter(jobs, name):
    now = datetime(2025, 1, 1, tzinfo=UTC)
    one = JobEntry(new_job_id(name, now), name, now)
    jobs.enter(one)
    return one.job_id


def is_marked(jobs, job_id):
    return jobs.mark_of(job_id) is not None


def test_all_streams_of_a_folder_are_stopped_or_those_of_one_name_or_one_launch(run, jobs):
    a, b, c, d = (enter(jobs, name) for name in ("one", "one", "two", "two"))
    stop = ["stop", "--release_dir", jobs.folder]
    assert run(*stop, "--job_name", a).status == 0
    assert [is_marked(jobs, one) for one in (a, b, c, d)] == [True, False, False, False]
    done = run(*stop, "--job_name=two")
    assert [is_marked(jobs, one) for one in (a, b, c, d)] == [True, False, True, True]
    assert f"asked {c} to end: {jobs.folder}/stop/{c}.json" in done.out
    done = run(*stop)
    assert done.out.count("asked") == 1
    assert is_marked(jobs, b)


def test_name_that_no_running_stream_has_is_refused_with_those_that_run(run, jobs):
    enter(jobs, "one")
    done = run("stop", "--release_dir", jobs.folder, "--job_name=two")
    assert done.status == 2
    assert "no stream called 'two'" in done.err
    assert "those that run: one. A job on Dataflow is drained" in done.err
    assert run("stop", "--release_dir", f"{jobs.folder}/none").status == 2
    assert "--release_dir is missing" in run("stop").err


def test_launch_that_is_not_entered_is_stopped_by_its_whole_name(run, jobs):
    one = new_job_id("reader", datetime(2025, 1, 1, tzinfo=UTC))
    assert run("stop", "--release_dir", jobs.folder, "--job_name", one).status == 0
    assert is_marked(jobs, one)


@pytest.fixture
def stream(tmp_path):
    return Stream(tmp_path)


def test_stream_that_fails_before_it_runs_is_not_among_those_that_run(stream, tmp_path):
    jobs = JobFolder(str(tmp_path / "releases"), LogFiles())
    (tmp_path / "graph.svg").mkdir()
    told = [f"--release_dir={jobs.folder}", f"--graph_path={tmp_path}/graph.svg"]
    with pytest.raises(LaunchError, match=r"graph\.svg cannot be written"):
        jobs_run.run(options.parse(stream.arguments(*told, "--refresh_mode=off")), Progress())
    (entry,) = jobs.entries(1)
    assert (entry.has_mark, entry.ended_by) == (True, "the end of the job")


class Submitted:
    """A run of Beam's, and the job that it is of."""

    def __init__(self, state, error=None):
        self._state, self._error = state, error
        self.ends = 0

    @property
    def state(self):
        if self._state is None:
            raise ConnectionError("nobody answers")
        return self._state

    def wait_until_finish(self):
        if self._error:
            raise self._error

    def note_end(self):
        self.ends += 1


@pytest.mark.parametrize(
    ("state", "error", "ends"),
    [("DONE", None, 1), ("FAILED", RuntimeError, 1), ("RUNNING", OSError, 0), (None, OSError, 0)],
)
def test_end_is_noted_where_the_stream_has_ended_and_not_where_its_runner_is_lost(
    state, error, ends
):
    submitted = Submitted(state, error)
    with pytest.raises(error) if error else nullcontext():
        wait_for_end(submitted, submitted)
    assert submitted.ends == ends


def test_stream_without_refresh_ends_with_what_is_in_flight_once_it_is_asked_to(run, tmp_path):
    stream, folder = Stream(tmp_path), tmp_path / "releases"
    job = [f"--release_dir={folder}", "--release_poll_secs=1", "--job_name=night"]
    with stream.running(*job, refresh="off"):
        stream.feed_until(stream.predictions)
        stream.feed(40)
        assert run("stop", "--release_dir", folder, "--job_name=night").status == 0
        assert stream.process.wait(60) == 0, stream.log()
    predicted = [line["id"] for line in stream.predictions()]
    assert len(predicted) == len(set(predicted))
    assert "asks the job to end: finishing what is in flight" in stream.log()
    (ended,) = json.loads(run("status", folder, "--json").out)["jobs"]
    assert (ended["runs"], ended["stopped_by"]) == (False, "python -m pipeline stop")
