"""Every process follows the release log, whatever becomes of the storage."""

import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError
from pipeline.releases.follower import ReleaseFollower
from pipeline.releases.log import ReleaseLog
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeClock, FakeLoader, FakeServable
from tests.releases.test_log import accepted
from tests.support.gating import until
from tests.support.waiting import wait_until

SOON_SECS = 0.01


def loader_of_fakes():
    return FakeLoader(lambda version: FakeServable(dict))


class Storage(LogFiles):
    """Counts what is asked, and may be away."""

    away = False
    forbidden = ""
    reads = 0
    listings = 0

    def read(self, uri):
        type(self).reads += 1
        if self.forbidden and uri.endswith(self.forbidden):
            raise ArtifactError(f"{uri} cannot be read: no permission")
        return self._answer(super().read, uri)

    def names(self, folder, start):
        type(self).listings += 1
        return self._answer(super().names, folder, start)

    def _answer(self, ask, *arguments):
        if type(self).away:
            raise ArtifactError("the storage does not answer")
        return ask(*arguments)


@pytest.fixture
def storage():
    """A storage of the test's own."""
    return type("OwnStorage", (Storage,), {})


@pytest.fixture
def log(tmp_path, storage):
    return ReleaseLog(str(tmp_path / "releases"), storage())


@pytest.fixture
def follow(log):
    """Starts a process that follows the log; it ends with the test."""
    started = []

    def start(poll_secs=SOON_SECS, **options):
        manager = ReleaseManager(
            options.pop("loader", loader_of_fakes()), timing=Timing(retry_secs=(), grace_secs=0.0)
        )
        first = options.pop("initial", accepted(1).release)
        follower = ReleaseFollower(log, manager, first, poll_secs=poll_secs, **options)
        started.append((follower, manager))
        return follower, manager

    yield start
    for follower, manager in started:
        follower.close()
        manager.close()


def test_process_serves_what_is_appended(log, follow):
    log.append(accepted(1))
    follower, manager = follow()
    assert follower.newest() == accepted(1).release
    until(manager, 1)
    log.append(accepted(2))
    until(manager, 2)


def test_process_that_starts_late_loads_the_newest_release_and_nothing_older(log, follow):
    for generation in range(1, 30):
        log.append(accepted(generation))
    loader = loader_of_fakes()
    follower, manager = follow(loader=loader)
    assert manager.wait_active(follower.newest()) == accepted(29).release
    assert [version.uri for version in loader.loads] == ["clf/29"]


def test_first_batch_waits_for_a_storage_that_is_away(log, storage, follow, caplog):
    log.append(accepted(2))
    storage.away = True
    follower, _ = follow()
    wait_until(lambda: storage.listings > 3)
    assert caplog.text.count("cannot be followed: the storage does not answer") == 1
    storage.away = False
    assert follower.newest() == accepted(2).release
    wait_until(lambda: "following the release log" in caplog.text)


def test_storage_that_goes_away_is_said_once_and_caught_up_with(log, storage, follow, caplog):
    log.append(accepted(1))
    _, manager = follow()
    until(manager, 1)
    storage.away = True
    asked = storage.reads
    wait_until(lambda: storage.reads > asked + 3)
    log.append(accepted(2))
    log.append(accepted(3))
    assert manager.active() == accepted(1).release
    storage.away = False
    until(manager, 3)
    assert caplog.text.count("cannot be followed") == 1


def test_minute_without_storage_is_survived_and_its_end_is_said(log, storage, follow, caplog):
    clock = FakeClock()
    log.append(accepted(1))
    _, manager = follow(clock=clock)
    until(manager, 1)
    storage.away = True
    wait_until(lambda: "cannot be followed: the storage does not answer" in caplog.text)
    asked = storage.reads + storage.listings
    for _ in range(60):
        clock.advance(1.0)
    log.append(accepted(2))
    wait_until(lambda: storage.reads + storage.listings > asked + 3)
    assert manager.active() == accepted(1).release
    storage.away = False
    until(manager, 2)
    wait_until(lambda: "works again, after 60 s" in caplog.text)
    assert caplog.text.count("cannot be followed") == 1


def test_release_that_may_not_be_read_is_said_once_and_the_one_behind_it_serves(
    log, storage, follow, caplog
):
    log.append(accepted(1))
    _, manager = follow(listing_secs=0.0)
    until(manager, 1)
    storage.forbidden = "release-000002.json"
    log.append(accepted(2))
    wait_until(lambda: "cannot be followed" in caplog.text)
    assert manager.active() == accepted(1).release
    log.append(accepted(3))
    until(manager, 3)
    assert caplog.text.count("cannot be followed") == 1


def test_order_is_that_of_generations_whatever_the_clocks_of_the_writers_said(log, follow):
    log.append(accepted(1))
    _, manager = follow()
    until(manager, 1)
    for generation, year in ((2, 1970), (3, 2200), (4, 1999)):
        time = datetime(year, 1, 1, tzinfo=UTC)
        log.append(replace(accepted(generation), time=time))
        until(manager, generation)


def test_without_any_release_the_first_one_of_the_job_serves_and_that_is_said(follow, caplog):
    follower, manager = follow()
    assert follower.newest() == accepted(1).release
    until(manager, 1)
    assert "has no release of these models" in caplog.text


@pytest.mark.parametrize("deleted", ["the release", "the folder"])
def test_folder_that_is_deleted_is_said_and_serving_goes_on(log, follow, caplog, tmp_path, deleted):
    log.append(accepted(1))
    _, manager = follow(listing_secs=0.0)
    until(manager, 1)
    if deleted == "the folder":
        shutil.rmtree(tmp_path / "releases")
    else:
        (tmp_path / "releases" / "release-000001.json").unlink()
    wait_until(lambda: "its releases are gone" in caplog.text)
    assert manager.active() == accepted(1).release
    wait_until(lambda: caplog.text.count("its releases are gone") == 1)
    log.append(accepted(2))
    until(manager, 2)
    wait_until(lambda: "following the release log" in caplog.text)


def test_release_from_where_no_model_may_come_is_passed_over(log, follow):
    log.append(accepted(1))
    follower, manager = follow(
        problems=lambda release: ["clf/2 is outside"] if release.generation == 2 else []
    )
    until(manager, 1)
    log.append(accepted(2))
    events = []
    wait_until(lambda: events.extend(follower.drain_events()) or events)
    assert "is passed over: clf/2 is outside" in events[0].reason
    log.append(accepted(3))
    until(manager, 3)


def test_releases_of_another_ensemble_are_passed_over_with_one_event(log, follow):
    log.append(accepted(1))
    follower, manager = follow()
    until(manager, 1)
    log.append(accepted(2, "other"))
    events = []
    wait_until(lambda: events.extend(follower.drain_events()) or events)
    log.append(accepted(3, "other"))
    log.append(accepted(4))
    until(manager, 4)
    events += follower.drain_events()
    assert [event.outcome for event in events] == ["ignored"]
    assert "it has the models other, and this job has clf" in events[0].reason


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_damaged_release_is_passed_over_and_the_next_one_serves(log, follow, content):
    log.append(accepted(1))
    _, manager = follow()
    until(manager, 1)
    log.storage.create(log.uri_of(2), content)
    log.append(accepted(3))
    until(manager, 3)


def test_number_that_was_left_out_is_found_by_the_next_listing(log, follow):
    log.append(accepted(1))
    _, manager = follow(listing_secs=0.0)
    until(manager, 1)
    log.append(accepted(5))
    until(manager, 5)


def test_process_that_cannot_load_what_others_serve_keeps_the_last_good_release(log, follow):
    log.append(accepted(1))
    loader = loader_of_fakes()
    loader.fail.add("digest 2")
    _, manager = follow(loader=loader)
    until(manager, 1)
    log.append(accepted(2))
    assert not manager.wait_for(2, 10)
    assert manager.active() == accepted(1).release
    failed = [one for one in manager.drain_activations() if one.error]
    assert [(one.release.generation, one.final) for one in failed] == [(2, True)]
    log.append(accepted(3))
    until(manager, 3)


def test_two_hundred_processes_ask_for_one_small_read_each_time(log, storage, caplog):
    """As threads: what is counted is what a storage is asked."""
    log.append(accepted(1))
    manager = ReleaseManager(loader_of_fakes(), timing=Timing(retry_secs=()))
    first = accepted(1).release
    followers = [ReleaseFollower(log, manager, first, poll_secs=3600.0) for _ in range(200)]
    for follower in followers:
        follower.newest()
    assert (storage.listings, storage.reads) == (200, 200), "a listing and the newest, each"
    for _ in range(3):
        for _ in followers:
            log.since(1, ["clf"])
    assert (storage.listings, storage.reads) == (200, 800)
    for follower in followers:
        follower.close()
    manager.close()


def test_closed_follower_lets_nobody_wait(log, storage, follow):
    storage.away = True
    follower, _ = follow()
    found = []

    def wait():
        try:
            follower.newest()
        except RuntimeError as error:
            found.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    follower.close()
    waiting.join(10)
    assert found == ["the release log is followed no more"]
