"""Several gates at work on one release log: none accepts what another one did, and nothing is lost.

An update of a job on a service starts the new one beside the old one, so this happens.
"""

import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.checks import GateChecks
from pipeline.releases.gate import utc_now
from pipeline.serving.activation import Timing
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeLoader
from pipeline.transforms.gate import KeyedGate
from tests.support.gating import Ensemble


class Judge:
    """A gate of its own, with models of its own, as another process would have them."""

    def __init__(self, ensemble, checks=None):
        gate = ensemble.gate
        self.gate = replace(gate, checks=checks or gate.checks)
        self.state = ensemble.state
        self.manager = ReleaseManager(FakeLoader(ensemble.fake), timing=Timing(retry_secs=()))

    def __call__(self, candidate):
        verdict = self.gate(self.state, candidate, self.manager)
        self.state = verdict.state
        return verdict.event


@pytest.fixture
def ensemble(tmp_path):
    made = Ensemble(tmp_path)
    for number in range(2, 10):
        made.put("clf", number)
        made.put("emb", number)
    return made


class Interrupted(GateChecks):
    """Lets another gate come first, between the checks and the log."""

    def check(self, *arguments):
        count = super().check(*arguments)
        while BETWEEN:
            BETWEEN.pop()()
        return count


BETWEEN = []


def test_release_that_another_gate_came_before_is_merged_onto_its(ensemble):
    slow = Judge(ensemble, Interrupted(**vars(ensemble.gate.checks)))
    fast = Judge(ensemble)
    BETWEEN.append(lambda: fast(ensemble.candidate(emb=2)))
    event = slow(ensemble.candidate(clf=2))
    assert (event.outcome, event.release.generation) == ("accepted", 3)
    assert event.release.versions == (ensemble.version("clf", 2), ensemble.version("emb", 2))
    assert [a.release.generation for a in ensemble.log.load_history()] == [2, 3]


def test_same_candidate_at_two_gates_is_accepted_once(ensemble):
    slow = Judge(ensemble, Interrupted(**vars(ensemble.gate.checks)))
    fast = Judge(ensemble)
    candidate = ensemble.candidate(clf=2)
    BETWEEN.append(lambda: fast(candidate))
    event = slow(candidate)
    assert (event.outcome, event.release.generation) == ("accepted", 2)
    assert [a.release.generation for a in ensemble.log.load_history()] == [2]


def test_eight_gates_at_once_append_one_line_of_releases(ensemble):
    candidates = [
        ensemble.candidate(n, **{model: n}) for n in range(2, 6) for model in ("clf", "emb")
    ]
    judges = [Judge(ensemble) for _ in candidates]
    with ThreadPoolExecutor(8) as pool:
        events = list(pool.map(lambda judge, one: judge(one), judges, candidates))
    history = ensemble.log.load_history()
    generations = [one.release.generation for one in history]
    assert generations == list(range(2, 2 + len(generations)))
    accepted = [event.release for event in events if event.outcome == "accepted"]
    assert sorted(accepted, key=lambda r: r.generation) == [one.release for one in history]
    assert {event.outcome for event in events} <= {"accepted", "ignored"}
    newest = history[-1].release
    assert [version.label for version in newest.versions] == ["5", "5"]
    for before, after in pairwise(history):
        changed = set(after.release.versions) - set(before.release.versions)
        assert len(changed) == 1, "each builds on the one before"


def test_process_that_knows_nothing_gives_the_verdict_of_before(ensemble):
    accepted, bad = ensemble.candidate(clf=2), ensemble.candidate(clf=99)
    first = Judge(ensemble)
    told = [first(accepted), first(bad)]
    again = Judge(ensemble)
    repeated = [again(accepted), again(bad)]
    for before, after in zip(told, repeated, strict=True):
        assert (after.outcome, after.reason) == (before.outcome, before.reason)
        assert (after.release, after.time) == (before.release, before.time)
    assert again.state.current.generation == 2


def test_rejection_of_another_ensemble_binds_nobody(ensemble):
    candidate = ensemble.candidate(clf=99)
    judge = Judge(ensemble)
    assert judge(candidate).outcome == "rejected"
    ensemble.put("clf", 99)
    assert judge(candidate).outcome == "rejected", "as it is recorded"
    spec = ensemble.graph.spec.model_copy(update={"name": "another"})
    graph = replace(ensemble.graph, spec=spec)
    other = Judge(ensemble, replace(ensemble.gate.checks, graph=graph))
    assert other(candidate).outcome == "accepted"


def test_rejection_of_an_archive_that_is_too_large_binds_no_gate_with_a_larger_limit(ensemble):
    path = ensemble.path("clf", 99).with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("number", "99")
    checks, candidate = ensemble.gate.checks, ensemble.candidate()
    candidate = replace(candidate, models={"clf": str(path)})

    def limited(most_bytes):
        cache = ArtifactCache(
            ensemble.folder / "cache", ensemble.store, most_unpacked_bytes=most_bytes
        )
        return Judge(ensemble, replace(checks, cache=cache))

    assert "a larger --max_hub_model_mb takes it" in limited(1)(candidate).reason
    assert limited(1)(candidate).outcome == "rejected", "as it is recorded"
    assert "max_hub_model_mb" not in str(limited(2)(candidate).reason)


def test_gate_that_slept_while_old_releases_were_removed_goes_on_behind_the_newest(ensemble):
    sleeper, judge = Judge(ensemble), Judge(ensemble)
    for number in (2, 3, 4):
        judge(ensemble.candidate(number, clf=number))
    Path(ensemble.log.uri_of(2)).unlink()
    event = sleeper(ensemble.candidate(emb=2))
    assert event.release.generation == 5
    assert [version.label for version in event.release.versions] == ["4", "2"]


def test_rollback_to_where_no_model_may_come_from_is_rejected(ensemble, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(ensemble.path("clf", 1), elsewhere)
    version = ModelVersion("clf", str(elsewhere), digest_of(elsewhere))
    planted = Release(2, (version, ensemble.version("emb", 1)))
    judge = Judge(ensemble)
    ensemble.log.append(judge.state.accept(ensemble.candidate(), planted, utc_now()).history[-1])
    assert judge(ensemble.candidate(clf=2)).release.generation == 3
    event = judge(ensemble.rollback(to=2))
    assert event.outcome == "rejected"
    assert f"{elsewhere} is outside the folders that models may come from" in event.reason


def test_verdict_that_was_told_is_not_told_again_by_the_same_step(ensemble):
    def step():
        managers = lambda: ReleaseManager(FakeLoader(ensemble.fake))  # noqa: E731
        return KeyedGate(ensemble.gate, managers, ensemble.state)

    first, fresh = step(), step()
    element = ("gate", ensemble.candidate(clf=2))
    assert [event.outcome for event in first.process(element)] == ["accepted"]
    assert list(first.process(element)) == []
    assert [event.outcome for event in fresh.process(element)] == ["accepted"]


def test_gate_goes_on_with_the_next_generation_where_somebody_deleted_the_folder(ensemble):
    gate = Judge(ensemble)
    assert gate(ensemble.candidate(clf=2)).release.generation == 2
    shutil.rmtree(ensemble.log.folder)
    event = gate(ensemble.candidate(emb=2))
    assert event.release.versions == (ensemble.version("clf", 2), ensemble.version("emb", 2))
    assert [one.release.generation for one in ensemble.log.load_history()] == [3]
