"""Trying a release: nothing of it is evicted meanwhile, and nothing stays unless it serves."""

import threading

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager, load_all
from pipeline.testing import FakeLoader, FakeServable
from tests.support.gating import until

A1, A2, B1 = (ModelVersion(model, f"{model}/{n}", f"{model}{n}") for model, n in ("a1", "a2", "b1"))
ONE, TWO, THREE = Release(1, (A1, B1)), Release(2, (A2, B1)), Release(3, (A1, B1))


@pytest.fixture(params=["availability", "resource"])
def policy(request):
    return request.param


@pytest.fixture
def loader():
    return FakeLoader(lambda version: FakeServable(dict))


@pytest.fixture
def manager(loader, policy):
    made = ReleaseManager(
        loader, memory_policy=policy, timing=Timing(retry_secs=(), grace_secs=0.0)
    )
    made.ensure(ONE)
    yield made
    made.close()


def test_release_that_passed_is_activated_without_a_second_load(manager, loader):
    with manager.trial(TWO):
        load_all(TWO, manager)
        manager.aspire(TWO)
    until(manager, 2)
    assert loader.loads == [A1, B1, A2]


def test_what_is_tried_is_not_evicted_and_unloaded_once_it_failed(manager):
    with manager.trial(TWO):
        load_all(TWO, manager)
        manager.evict()
        assert A2 in manager.loaded()
        with manager.use(TWO, "a") as servable:
            pass
    assert servable.closed
    assert manager.wait_active(TWO) == ONE
    assert A2 not in manager.loaded()


def test_error_of_the_trial_comes_through_and_the_old_release_serves(manager, loader):
    loader.fail.add("a2")
    with pytest.raises(LoadError), manager.trial(TWO):
        load_all(TWO, manager)
    assert manager.wait_active(TWO) == ONE


def test_failed_trial_unloads_nothing_that_was_loaded_before(loader):
    manager = ReleaseManager(loader)
    load_all(ONE, manager)
    with manager.trial(TWO):
        load_all(TWO, manager)
    assert manager.loaded() == [A1, B1]


@pytest.mark.parametrize("policy", ["resource"], indirect=True)
def test_resource_policy_unloads_what_changes_before_the_trial(manager):
    with manager.trial(TWO):
        assert manager.active() is None
        assert manager.loaded() == [B1]


@pytest.mark.parametrize("policy", ["resource"], indirect=True)
def test_release_that_stands_aside_is_not_prepared_again(manager):
    manager.aspire(TWO)
    until(manager, 2)
    manager.drain_activations()
    with manager.trial(THREE), pytest.raises(TimeoutError):
        manager.wait_for(2, 0.1)  # for the thread, which looks every 10 ms
    manager.close()
    assert manager.drain_activations() == []


@pytest.mark.parametrize("policy", ["resource"], indirect=True)
def test_batch_waits_out_a_trial_although_an_earlier_release_was_given_up(manager, loader):
    loader.fail.add("a2")
    manager.aspire(TWO)
    assert not manager.wait_for(2, 10)
    served = []
    batch = threading.Thread(target=lambda: served.append(manager.wait_active(ONE)))
    with manager.trial(THREE):
        batch.start()
        batch.join(timeout=0.1)
        assert batch.is_alive()
        manager.aspire(THREE)
    batch.join(timeout=10)
    assert served == [THREE]
