"""Jobs enter themselves in the release folder, and a mark ends one launch and no other."""

from datetime import UTC, datetime

import pytest

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.releases.orders.jobs import JobEntry, JobFolder, is_job_id, new_job_id

NOW = datetime(2025, 1, 1, tzinfo=UTC)


def entry(name="digits"):
    return JobEntry(new_job_id(name, NOW), name, NOW)


@pytest.fixture(params=["local", "bucket"])
def jobs(request, tmp_path):
    if request.param == "local":
        return JobFolder(str(tmp_path / "releases"), LogFiles())
    return JobFolder(request.getfixturevalue("gcs").new_bucket() + "/releases/", LogFiles())


def test_job_that_entered_is_there_until_it_has_a_mark(jobs):
    one, other = entry(), entry("other")
    jobs.enter(one)
    jobs.enter(other)
    assert {found.job_id: found for found in jobs.entries(0)} == {
        one.job_id: one,
        other.job_id: other,
    }
    assert jobs.mark_of(one.job_id) is None
    uri = jobs.stop(one.job_id, "a person", NOW)
    assert jobs.mark_of(one.job_id) == f"{uri}, made by a person at 2025-01-01T00:00:00+00:00"
    assert jobs.entries(0) == [other]
    marked = next(found for found in jobs.entries(1) if found.has_mark)
    assert (marked.job_id, marked.ended, marked.ended_by) == (one.job_id, NOW, "a person")


def test_first_mark_stays(jobs):
    one = entry()
    jobs.stop(one.job_id, "a person", NOW)
    jobs.stop(one.job_id, "the end of the job", NOW)
    assert "made by a person" in jobs.mark_of(one.job_id)


def test_mark_is_for_one_launch_and_not_for_the_next_one_of_the_same_name(jobs):
    before, after = entry(), entry()
    jobs.stop(before.job_id, "a person", NOW)
    assert jobs.mark_of(after.job_id) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"by": 1}', "null"])
def test_any_file_of_its_name_is_a_mark(jobs, content):
    one = entry()
    jobs.enter(one)
    uri = f"{jobs.folder.rstrip('/')}/stop/{one.job_id}.json"
    jobs.storage.create(uri, content)
    assert jobs.mark_of(one.job_id) == uri
    assert [(found.ended, found.ended_by) for found in jobs.entries(1)] == [(None, "hand")]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"job_name": 3, "started": "x"}'])
def test_damaged_entry_is_passed_over_with_a_warning(jobs, content, caplog):
    jobs.storage.create(f"{jobs.folder.rstrip('/')}/jobs/made-up.json", content)
    assert jobs.entries(1) == []
    assert "jobs/made-up.json is passed over" in caplog.text


def test_of_many_jobs_that_ended_the_last_ones_are_read(tmp_path):
    class Counting(LogFiles):
        reads = 0

        def read(self, uri):
            Counting.reads += 1
            return super().read(uri)

    jobs = JobFolder(str(tmp_path), Counting())
    for year in range(2001, 2051):
        one = JobEntry(new_job_id("d", NOW.replace(year=year)), "d", NOW.replace(year=year))
        jobs.enter(one)
        jobs.stop(one.job_id, "a person", NOW)
    assert [found.started.year for found in jobs.entries(2)] == [2049, 2050]
    assert Counting.reads == 4
    assert jobs.entries(0) == []


def test_of_very_many_jobs_that_were_killed_all_are_there_to_stop_and_the_newest_are_read(tmp_path):
    jobs = JobFolder(str(tmp_path), LogFiles())
    live = JobEntry(new_job_id("live", NOW.replace(year=1899)), "live", NOW.replace(year=1899))
    jobs.enter(live)
    for year in range(1900, 2020):
        started = NOW.replace(year=year)
        jobs.enter(JobEntry(new_job_id("d", started), "d", started))
    found = [entry.started.year for entry in jobs.entries(0)]
    assert found == list(range(1920, 2020))
    assert len(jobs.running()) == 121
    assert jobs.running("live") == jobs.running(live.job_id) == [live.job_id]
    jobs.stop(live.job_id, "a person", NOW)
    assert jobs.running("live") == []


def test_names_that_look_alike_in_an_id_are_told_apart(jobs):
    for name in ("a b", "a-b", "x" * 300, "x" * 301):
        one = entry(name)
        jobs.enter(one)
        assert jobs.running(name) == [one.job_id]
    jobs.storage.create(f"{jobs.folder.rstrip('/')}/jobs/made-up.json", "{}")
    assert len(jobs.running()) == 4
    assert jobs.running("a") == []


@pytest.mark.parametrize("name", ["digits", "a/../b", "..", "", "x" * 300, "ü é", "a\nb"])
def test_id_is_a_file_name_of_its_own_whatever_the_job_is_called(name):
    ids = {new_job_id(name, NOW) for _ in range(20)}
    assert len(ids) == 20
    for one in ids:
        assert is_job_id(one)
        assert not one.startswith(".")
        assert len(one) < 100
    assert not is_job_id(name)
