"""The release log: appended once, read by everybody, whatever lies in its folder."""

import errno
import logging
import multiprocessing
import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.log import ReleaseLog
from pipeline.releases.state import Accepted, Mark


def accepted(generation, model="clf"):
    version = ModelVersion(model, f"{model}/{generation}", f"digest {generation}")
    time = datetime(2025, 1, 1, tzinfo=UTC)
    return Accepted(Release(generation, (version,)), time, marks={model: Mark(version)})


def generations(some):
    return [one.release.generation for one in some]


@pytest.fixture(params=["local", "bucket"])
def log(request, tmp_path):
    if request.param == "local":
        return ReleaseLog(str(tmp_path / "releases"), LogFiles())
    return ReleaseLog(request.getfixturevalue("gcs").new_bucket() + "/releases/", LogFiles())


def test_last_releases_are_those_of_the_highest_generations(log):
    for generation in (9, 1_000_000, 10):
        assert log.append(accepted(generation))
    assert log.load_history() == [accepted(9), accepted(10), accepted(1_000_000)]
    assert generations(log.load_history(2)) == [10, 1_000_000]
    assert log.generations() == [9, 10, 1_000_000]


def test_generation_is_appended_once_and_stays(log):
    assert log.append(accepted(1))
    other = replace(accepted(1), time=datetime(2026, 1, 1, tzinfo=UTC))
    assert not log.append(other)
    assert not log.append(accepted(1)), "the same release, by another writer"
    assert log.read(1) == accepted(1)


class LostAnswer(LogFiles):
    """Creates a file and is asked once more, as its client does when an answer was lost."""

    def create(self, uri, text):
        super().create(uri, text)
        return super().create(uri, text)


def test_own_file_whose_answer_was_lost_is_appended(log):
    assert replace(log, storage=LostAnswer()).append(accepted(1))


_BARRIERS = []


def _meet(barrier):
    _BARRIERS.append(barrier)


def _append(folder, generations):
    log = ReleaseLog(folder, LogFiles())
    _BARRIERS[0].wait(300)
    return [g for g in range(1, generations + 1) if log.append(accepted(g))]


@pytest.mark.parametrize("place", ["local", "bucket"])
def test_of_eight_processes_one_appends_each_generation(request, tmp_path, place):
    folder = str(tmp_path) if place == "local" else request.getfixturevalue("bucket")
    context = multiprocessing.get_context("spawn")
    with context.Pool(8, _meet, (context.Barrier(8),)) as pool:
        asked = [pool.apply_async(_append, (folder, 25)) for _ in range(8)]
        taken = [generation for one in asked for generation in one.get(300)]
    assert sorted(taken) == list(range(1, 26))


def test_folder_that_is_not_there_or_holds_other_files_has_no_release(log):
    assert log.load_history() == []
    log.storage.create(f"{log.folder.rstrip('/')}/notes.json", "{}")
    log.storage.create(f"{log.folder.rstrip('/')}/trying/release-000001.json", "{}")
    assert log.load_history() == []


def test_what_was_appended_behind_a_position_is_told(log):
    assert log.since(0, ["clf"]).position == 0
    for generation in (1, 2, 3):
        log.append(accepted(generation))
    look = log.since(1, ["clf"])
    assert (generations(look.appended), look.position) == ([2, 3], 3)
    assert log.since(3, ["clf"]).appended == ()


def test_releases_of_other_models_are_passed_over_and_told(log):
    for generation, model in ((1, "clf"), (2, "other"), (3, "clf"), (4, "other")):
        log.append(accepted(generation, model))
    look = log.since(0, ["clf"])
    assert (generations(look.appended), look.position) == ([1, 3], 4)
    assert look.other.generation == 4
    assert generations(log.look(0, ["clf"], count=1).appended) == [3]


def test_number_that_was_left_out_is_found_by_a_listing_only(log):
    log.append(accepted(1))
    log.append(accepted(3))
    assert log.since(1, ["clf"]).position == 1
    assert generations(log.look(1, ["clf"]).appended) == [3]


@pytest.mark.parametrize("content", ["", '{"generation": 3', "{}", '{"format": 2}', "[1]"])
def test_damaged_file_is_passed_over_with_a_warning(log, caplog, content):
    log.append(accepted(2))
    log.storage.create(log.uri_of(3), content)
    with caplog.at_level(logging.WARNING):
        look = log.since(2, ["clf"])
        assert log.load_history() == [accepted(2)]
    assert (look.appended, look.position) == ((), 3)
    assert "release-000003.json is passed over: " in caplog.text


@pytest.mark.parametrize("content", [b"\xff\xfe", b" " * (2 << 20)])
def test_file_that_is_no_small_text_is_passed_over(tmp_path, caplog, content):
    log = ReleaseLog(str(tmp_path), LogFiles())
    (tmp_path / "release-000001.json").write_bytes(content)
    (tmp_path / "release-000002.json").mkdir()
    assert log.look(0, ["clf"]).position == 2
    assert caplog.text.count("is passed over: ") == 2


def test_thousand_generations_cost_few_reads(tmp_path):
    class Counting(LogFiles):
        reads = 0

        def read(self, uri):
            Counting.reads += 1
            return super().read(uri)

    log = ReleaseLog(str(tmp_path), Counting())
    for generation in range(1, 1001):
        log.append(accepted(generation))
    Counting.reads = 0
    assert generations(log.look(0, ["clf"], count=1).appended) == [1000]
    assert Counting.reads == 1
    assert generations(log.since(0, ["clf"]).appended) == list(range(981, 1001))
    assert Counting.reads == 22
    assert log.since(1000, ["clf"]).appended == ()
    assert Counting.reads == 23


def test_verdict_is_found_by_candidate_build_and_ensemble(log):
    candidate = Candidate("watch clf/2", "watch", 7, models={"clf": "clf/2"})
    assert log.verdict_on(candidate, "build a") is None
    time = datetime(2025, 1, 1, tzinfo=UTC)
    log.record(ReleaseEvent("rejected", time, candidate, reason="it is empty"), "build a")
    log.record(ReleaseEvent("ignored", time, candidate, reason="the second one"), "build a")
    found = log.verdict_on(candidate, "build a")
    assert (found.outcome, found.reason, found.generation) == ("rejected", "it is empty", None)
    assert log.verdict_on(candidate, "build b") is None
    assert log.verdict_on(replace(candidate, candidate_id="another"), "build a") is None


def test_storage_that_refuses_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    log = ReleaseLog(str(tmp_path / "file"), LogFiles())
    with pytest.raises(ArtifactError, match=r"file/release-000001.json cannot be written"):
        log.append(accepted(1))


def test_storage_without_create_if_absent_is_refused():
    with pytest.raises(ArtifactError, match=r"hdfs://n/releases.*expected a local folder or"):
        ReleaseLog("hdfs://n/releases", LogFiles()).append(accepted(1))


def test_file_system_without_hard_links_is_named(tmp_path, monkeypatch):
    """The refusal is made up: every file system here has them."""

    def refuse(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ArtifactError, match="has no hard links"):
        ReleaseLog(str(tmp_path), LogFiles()).append(accepted(1))
    assert list(tmp_path.iterdir()) == []
