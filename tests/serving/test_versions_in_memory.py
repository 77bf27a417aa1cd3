"""How many versions a process holds: active and previous, or the active one; one more meanwhile."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError
from pipeline.serving.activation import Timing
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeServable
from tests.support.gating import Bench, Ensemble
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
AT_REST = {"availability": 2, "resource": 1}
AT_PEAK = {"availability": 3, "resource": 1}


class Counted:
    """Loads fake models, and counts those of *clf* that anything still holds."""

    def __init__(self, ensemble):
        self._fake = ensemble.fake
        self._alive = weakref.WeakSet()
        self.peak = 0

    def __call__(self, version):
        servable = self._fake(version)
        if version.model == "clf":
            self._alive.add(servable)
            self.peak = max(self.peak, len(self._alive))
        return servable

    def count(self):
        gc.collect()
        return len(self._alive)


@pytest.mark.parametrize("policy", AT_REST)
def test_versions_at_rest_and_at_peak_are_what_the_documents_say(tmp_path, policy):
    ensemble = Ensemble(tmp_path)
    counted = Counted(ensemble)
    bench = Bench(ensemble, counted, memory_policy=policy)
    for number in (2, 3, 4, 5):
        ensemble.put("clf", number)
        bench.propose(ensemble.candidate(clf=number))
        assert bench.served() == number
        bench.manager.evict()
        assert counted.count() == AT_REST[policy]
    assert counted.peak == AT_PEAK[policy]
    bench.close()
    assert counted.count() == 0


@pytest.mark.parametrize("policy", AT_REST)
def test_candidate_that_fails_leaves_nothing_in_memory(tmp_path, policy):
    ensemble = Ensemble(tmp_path)
    counted = Counted(ensemble)
    bench = Bench(ensemble, counted, memory_policy=policy)
    for number in (2, 3):
        ensemble.put("clf", number, answer="no number")
        ensemble.put("emb", number)
        (event,) = bench.propose(ensemble.candidate(clf=number, emb=number))
        assert event.outcome == "rejected"
    assert bench.served() == 1
    bench.manager.evict()
    assert counted.count() == 1
    assert {v.uri for v in bench.manager.loaded()} <= {ensemble.uri(m, 1) for m in ("clf", "emb")}
    bench.close()


A1, A2, B1, B2 = (
    ModelVersion(model, f"{model}/{n}", f"{model}{n}") for model, n in ("a1", "a2", "b1", "b2")
)


class Half:
    """What a load has made when it fails."""


HALVES = weakref.WeakSet()


def load_or_fail(version):
    half = Half()
    HALVES.add(half)
    if version == B2:
        raise LoadError("b2 is broken")
    return FakeServable(dict)


def test_release_that_was_given_up_is_not_kept_nor_what_its_load_left():
    manager = ReleaseManager(load_or_fail, timing=Timing(retry_secs=(), grace_secs=0.0))
    manager.ensure(Release(1, (A1, B1)))
    manager.drain_activations()
    manager.aspire(Release(2, (A2, B2)))
    assert not manager.wait_for(2, 10)
    (activation,) = manager.drain_activations()
    assert str(activation.error) == "b2 is broken"
    gc.collect()
    assert not HALVES
    manager.evict()
    assert manager.loaded() == [A1, B1]
    manager.close()


def test_release_that_is_asked_for_stays_while_it_is_tried_again():
    manager = ReleaseManager(load_or_fail, timing=Timing(retry_secs=(3600.0,), grace_secs=0.0))
    manager.ensure(Release(1, (A1, B1)))
    manager.drain_activations()
    manager.aspire(Release(2, (A2, B2)))
    wait_until(manager.drain_activations)
    manager.evict()
    assert manager.loaded() == [A1, A2, B1]
    manager.close()


@pytest.mark.parametrize("policy", AT_REST)
def test_memory_of_a_job_returns_to_that_of_its_versions_at_rest(tmp_path, policy):
    """In a process of its own: what the launch learnt is kept, the models it loaded are not."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.releases.refresh_a_job", tmp_path, policy],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    grown = [float(word) for word in done.stdout.split()]
    assert len(grown) == 4, done.stdout
    assert max(grown) < AT_REST[policy] - 1 + 0.5, grown
