"""The models of a process: loaded once, switched without a pause, unloaded when unneeded."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager, load_all
from pipeline.testing import FakeClock, FakeLoader, FakeServable
from tests.support.waiting import wait_until

A1, A2, A3, B1 = (
    ModelVersion(model, f"{model}/{n}", f"{model}{n}") for model, n in ("a1", "a2", "a3", "b1")
)
ONE, TWO, THREE = Release(1, (A1, B1)), Release(2, (A2, B1)), Release(3, (A3, B1))
IMPATIENT = Timing(retry_secs=(0.0, 0.0), grace_secs=0.0)
SECS = 10


def make(version):
    return FakeServable(lambda inputs: {"y": np.zeros(1)})


@pytest.fixture
def loader():
    return FakeLoader(make)


@pytest.fixture
def manager(loader):
    made = ReleaseManager(loader, timing=IMPATIENT)
    yield made
    loader.gate.set()
    made.close()


def test_changing_one_model_of_a_release_loads_only_that_one(manager, loader):
    for release in (ONE, TWO):
        manager.ensure(release)
    assert loader.loads == [A1, B1, A2]
    assert manager.active() == TWO


def test_release_that_its_caller_prepared_is_not_prepared_again(loader):
    prepared = []

    def prepare(release, manager):
        prepared.append(release.generation)
        load_all(release, manager)

    manager = ReleaseManager(loader, prepare=prepare, timing=IMPATIENT)
    load_all(ONE, manager)
    manager.mark_prepared(ONE)
    manager.ensure(ONE)
    assert (manager.active(), prepared) == (ONE, [])
    manager.ensure(TWO)
    assert prepared == [2]
    manager.close()


@pytest.mark.parametrize("leaves", [True, False])
def test_word_of_a_preparation_ends_when_a_version_leaves_or_another_is_marked(loader, leaves):
    prepared = []
    manager = ReleaseManager(loader, prepare=lambda release, manager: prepared.append(release))
    for release in (ONE, TWO):
        load_all(release, manager)
    manager.mark_prepared(ONE)
    if leaves:
        manager.unload([A1])
        load_all(ONE, manager)
    else:
        manager.mark_prepared(TWO)
    manager.ensure(ONE)
    assert prepared == [ONE]
    manager.close()


def test_batches_are_served_by_the_old_release_while_the_new_one_loads(manager, loader):
    manager.ensure(ONE)
    loader.gate.clear()
    manager.aspire(TWO)
    assert manager.active() == ONE
    with manager.use(ONE, "a") as servable:
        assert servable.predict({"x": np.zeros(1)})
    loader.gate.set()
    assert manager.wait_for(2, SECS)


def test_failed_load_keeps_previous_release_and_its_label(manager, loader):
    manager.ensure(ONE)
    manager.drain_activations()
    loader.fail.add("a2")
    manager.aspire(TWO)
    assert not manager.wait_for(2, SECS)
    attempts = manager.drain_activations()
    assert [(a.attempt, a.final) for a in attempts] == [(1, False), (2, False), (3, True)]
    assert all("told to fail on a/2" in str(a.error) for a in attempts)
    assert manager.active() == ONE


def test_newer_release_ends_the_retries_of_an_older_one(loader):
    manager = ReleaseManager(loader, timing=Timing(retry_secs=(3600.0,)))
    manager.ensure(ONE)
    manager.drain_activations()
    loader.fail.add("a2")
    manager.aspire(TWO)
    wait_until(manager.drain_activations)
    manager.aspire(THREE)
    assert manager.wait_for(3, SECS)
    manager.close()


def test_older_generation_is_ignored(manager, loader):
    manager.ensure(THREE)
    manager.aspire(TWO)
    manager.ensure(TWO)
    assert manager.active() == THREE
    assert A2 not in loader.loads


def test_first_batch_waits_for_the_release_it_was_told_of(manager, loader):
    assert manager.wait_active(TWO) == TWO
    assert loader.loads == [A2, B1]
    assert manager.wait_active(THREE) == TWO, "later batches never wait"


def test_first_batch_gets_the_reason_when_its_release_cannot_be_loaded(manager, loader):
    loader.fail.add("a1")
    with pytest.raises(LoadError, match="told to fail on a/1"):
        manager.wait_active(ONE)
    loader.fail.clear()
    assert manager.wait_active(ONE) == ONE, "the retried bundle tries again"


def test_threads_that_ask_at_once_share_one_load(manager, loader):
    loader.gate.clear()
    got = []

    def ask():
        with manager.use(ONE, "a") as servable:
            got.append(servable)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    loader.gate.set()
    for thread in threads:
        thread.join()
    assert loader.loads == [A1]
    assert len(set(map(id, got))) == 1


def test_threads_that_ensure_a_release_at_once_prepare_it_once(manager, loader):
    loader.gate.clear()
    with ThreadPoolExecutor(4) as threads:
        ensured = [threads.submit(manager.ensure, ONE) for _ in range(4)]
        wait_until(lambda: loader.loads)
        loader.gate.set()
    assert [future.exception() for future in ensured] == [None] * 4
    assert len(manager.drain_activations()) == 1


def test_release_that_is_ensured_late_does_not_replace_a_newer_one(manager, loader):
    loader.gate.clear()
    with ThreadPoolExecutor(2) as threads:
        threads.submit(manager.ensure, THREE)
        wait_until(lambda: loader.loads)
        late = threads.submit(manager.ensure, TWO)
        with suppress(TimeoutError):  # it waits for its turn
            late.result(0.05)
        loader.gate.set()
    assert manager.active() == THREE
    assert A2 not in loader.loads


def test_release_whose_preparation_is_interrupted_is_prepared_again(loader):
    interruptions = [KeyboardInterrupt]

    def prepare(release, manager):
        if interruptions:
            raise interruptions.pop()

    manager = ReleaseManager(loader, prepare=prepare)
    with pytest.raises(KeyboardInterrupt):
        manager.ensure(ONE)
    manager.ensure(ONE)
    assert manager.active() == ONE


def test_retry_waits_for_its_pause_by_the_clock(loader):
    clock = FakeClock()
    manager = ReleaseManager(loader, timing=Timing(retry_secs=(3600.0,)), clock=clock)
    loader.fail.add("a1")
    manager.aspire(ONE)
    wait_until(manager.drain_activations)
    loader.fail.clear()
    with pytest.raises(TimeoutError, match="no word of generation 1"):
        manager.wait_for(1, 0.05)
    clock.advance(3600.0)
    assert manager.wait_for(1, SECS)
    manager.close()


def test_servable_in_use_when_all_is_closed_is_freed_by_its_user(manager):
    manager.ensure(ONE)
    with manager.use(ONE, "a") as servable:
        manager.close()
        assert not servable.closed
    assert servable.closed


def test_active_and_previous_stay_and_older_versions_are_evicted(manager, loader):
    for release in (ONE, TWO, THREE):
        manager.ensure(release)
    manager.evict()
    assert manager.loaded() == [A2, A3, B1]


def test_version_in_use_is_not_evicted_and_closed_once_it_is_free(manager, loader):
    with manager.use(ONE, "a") as servable:
        for release in (TWO, THREE):
            manager.ensure(release)
        manager.evict()
        assert not servable.closed
    manager.evict()
    assert servable.closed


def test_unneeded_version_stays_for_the_grace_period(loader):
    clock = FakeClock()
    manager = ReleaseManager(loader, timing=Timing(grace_secs=10.0), clock=clock)
    for release in (ONE, TWO, THREE):
        manager.ensure(release)
    manager.evict()
    assert A1 in manager.loaded()
    clock.advance(10.0)
    manager.evict()
    assert A1 not in manager.loaded()
    manager.close()


def test_batch_that_names_an_evicted_version_reloads_it_and_that_is_counted(manager, loader):
    for release in (ONE, TWO, THREE):
        manager.ensure(release)
    manager.evict()
    with manager.use(ONE, "a"):
        pass
    assert manager.reloads == 1
    assert loader.loads.count(A1) == 2


def test_resource_policy_never_holds_two_versions_of_a_model(loader):
    peak = []
    manager = ReleaseManager(
        lambda version: peak.append([*manager.loaded(), version]) or loader(version),
        memory_policy="resource",
        timing=IMPATIENT,
    )
    manager.ensure(ONE)
    manager.aspire(TWO)
    assert manager.wait_for(2, SECS)
    assert all(len({v.model for v in held}) == len(held) for held in peak)
    manager.close()


def test_resource_policy_returns_to_the_old_release_when_the_new_one_fails(loader):
    manager = ReleaseManager(loader, memory_policy="resource", timing=IMPATIENT)
    manager.ensure(ONE)
    manager.drain_activations()
    loader.fail.add("a2")
    manager.aspire(TWO)
    assert not manager.wait_for(2, SECS)
    assert manager.wait_active(TWO) == ONE
    with manager.use(ONE, "a"):
        pass
    manager.close()


def test_release_that_does_not_pass_its_preparation_is_not_activated(loader):
    def prepare(release, manager):
        raise LoadError("outputs are not finite")

    manager = ReleaseManager(loader, prepare=prepare)
    with pytest.raises(LoadError, match="not finite"):
        manager.ensure(ONE)
    assert manager.active() is None


def test_activation_tells_what_was_loaded_and_how_long_it_took():
    clock = FakeClock()

    def load(version):
        clock.advance(2.5)
        return make(version)

    manager = ReleaseManager(load, clock=clock)
    manager.ensure(ONE)
    manager.ensure(TWO)
    first, second = manager.drain_activations()
    assert (first.load_secs, first.prepare_secs) == ({"a": 2.5, "b": 2.5}, 5.0)
    assert (second.load_secs, second.error, second.final) == ({"a": 2.5}, None, True)
    assert manager.drain_activations() == []
    manager.close()


def make_manager():
    return ReleaseManager(FakeLoader(make))


def test_handle_finds_the_same_manager_after_pickling_and_none_after_close():
    handle = ManagerHandle("job", make_manager)
    manager = handle.get()
    assert pickle.loads(pickle.dumps(handle)).get() is manager
    handle.close()
    assert handle.get() is not manager
    handle.close()


def test_lag_is_the_time_since_a_newer_release_than_the_active_one_was_asked_for(loader):
    clock = FakeClock(100.0)
    manager = ReleaseManager(loader, timing=IMPATIENT, clock=clock)
    assert manager.lag_secs() == 0
    manager.ensure(ONE)
    assert manager.lag_secs() == 0
    loader.gate.clear()
    manager.aspire(TWO)
    clock.advance(7.0)
    assert manager.lag_secs() == 7.0
    manager.aspire(ONE)  # older: no reason to lag
    assert manager.lag_secs() == 7.0
    loader.gate.set()
    assert manager.wait_for(2, SECS)
    assert manager.lag_secs() == 0
    loader.fail.add("a3")
    manager.aspire(THREE)
    assert not manager.wait_for(3, SECS)
    clock.advance(60.0)
    assert manager.lag_secs() >= 60.0  # given up: somebody should know
    manager.close()
