"""Which versions a job starts with: the newest that pass, what was accepted, and never an undo."""

import json
from dataclasses import replace

import pytest

from pipeline.batch.release import Release
from pipeline.connectors.storage.listing import StorageLister
from pipeline.errors import ArtifactError, LoadError, ModelError
from pipeline.launch import versions as launch_versions
from pipeline.launch.patterns import look_under
from pipeline.launch.versions import Beginner
from pipeline.releases.candidate import Candidate
from pipeline.releases.gate import utc_now
from pipeline.releases.log import Look
from pipeline.releases.state import initial_state
from pipeline.releases.version_rule import VersionRule
from pipeline.releases.versions import WatchTarget
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.testing import FakeLoader
from tests.support.gating import Ensemble

BROKEN = "broken"


class Launch:
    """Launches of a small ensemble whose models are watched; a version may be BROKEN."""

    def __init__(self, folder):
        self.ensemble = Ensemble(folder)
        self.said = []
        self.prepared = []
        self.loader = FakeLoader(self._load)
        self.rules = {}
        self.checks = self.ensemble.gate.checks

    def _load(self, version):
        try:
            return self.ensemble.fake(version)
        except (ValueError, OSError) as error:
            raise LoadError(f"{version.uri} cannot be loaded") from error

    def put(self, model, *numbers, answer=None):
        for number in numbers:
            self.ensemble.put(model, number, answer)

    def remove(self, model, number):
        path = self.ensemble.path(model, number)
        (path / "number").unlink()
        path.rmdir()

    def begin(self, history=(), models=("clf", "emb")):
        position = max((one.release.generation for one in history), default=0)
        return self.beginner(models).begin(Look(tuple(history), position))

    def beginner(self, models=("clf", "emb")):
        folder = self.ensemble.folder
        targets = [WatchTarget(f"{folder}/{model}/*", (model,)) for model in models]
        patterns = look_under(targets, StorageLister(), self.rules, self.said.append)
        self.manager = ReleaseManager(
            self.loader, prepare=lambda release, manager: self.prepared.append(release)
        )
        return Beginner(self.checks, self.manager, patterns, self.said.append)

    def numbers(self, beginning):
        return {v.model: int(v.label) for v in beginning.release.versions}

    def heard(self, text):
        return any(text in line for line in self.said)

    def accepted(self, *steps):
        """The history of an earlier run: numbers of *clf* that were accepted, or "back"."""
        state = initial_state(self.ensemble.launch, utc_now())
        for position, step in enumerate(steps):
            name, generation = f"earlier {position}", state.current.generation + 1
            if step == "back":
                target = state.history[(state.history[-1].returns_to or 1) - 1]
                release = Release(generation, target.release.versions)
                back = Candidate(name, "test", 0, rollback_to=0)
                state = state.accept(back, release, utc_now(), target=target)
                continue
            version = self.ensemble.version("clf", step)
            versions = {v.model: v for v in state.current.versions} | {"clf": version}
            release = Release(generation, tuple(versions.values()))
            proposed = Candidate(name, "test", position, models={"clf": version.uri})
            state = state.accept(proposed, release, utc_now(), found={"clf": version})
        return state.history


@pytest.fixture
def launch(tmp_path):
    return Launch(tmp_path)


def test_job_starts_at_the_newest_version_of_each_model_and_says_so(launch):
    launch.put("clf", 9, 10)
    launch.put("emb", 3)
    assert launch.numbers(launch.begin()) == {"clf": 10, "emb": 3}
    assert launch.heard("model 'clf': starting at ")
    assert launch.heard("clf/10, the newest of 3 under ")


@pytest.mark.parametrize("steps", [(), (2, 3), (2, 3, "back")])
@pytest.mark.parametrize("gone", [False, True])
def test_what_a_job_starts_with_is_rehearsed_once(launch, steps, gone):
    launch.put("clf", 2, 3)
    history = launch.accepted(*steps)
    if gone:
        launch.put("clf", 3, answer=BROKEN)
    beginning = launch.begin(history)
    launch.manager.ensure(beginning.release)
    assert launch.manager.active() == beginning.release
    assert launch.prepared == []


def test_version_that_cannot_be_loaded_is_passed_over_alone(launch):
    launch.put("clf", 9)
    launch.put("clf", 10, 11, answer=BROKEN)
    launch.put("emb", 3)
    beginning = launch.begin()
    assert launch.numbers(beginning) == {"clf": 9, "emb": 3}
    assert [event.outcome for event in beginning.events] == ["rejected"] * 2
    assert [event.candidate.models["clf"][-2:] for event in beginning.events] == ["11", "10"]
    assert launch.heard("clf/11 is passed over for 'clf': model 'clf': ")
    assert [v.label for v in launch.loader.loads if v.model == "emb"] == ["3"]


def test_version_that_fails_its_golden_example_is_passed_over_and_unloaded(launch):
    launch.put("clf", 9)
    example = {"inputs": {"x": [1, 2, 3, 4]}, "outputs": {"y": [0, 0, 0]}}
    (launch.ensemble.path("clf", 9) / "golden.jsonl").write_text(json.dumps(example))
    beginning = launch.begin()
    assert launch.numbers(beginning)["clf"] == 1
    assert "golden.jsonl line 1" in beginning.events[0].reason
    assert {v.label for v in launch.manager.loaded()} == {"1"}


def test_what_was_passed_over_is_not_judged_again(launch):
    launch.put("clf", 9, answer=BROKEN)
    beginning = launch.begin()
    assert beginning.state.handled == (beginning.events[0].candidate.candidate_id,)


def test_version_that_a_storage_kept_back_may_be_proposed_again(launch, monkeypatch):
    launch.put("clf", 9)
    cache = launch.checks.cache
    fetch = cache.fetch

    def flaky(uri):
        if uri.endswith("clf/9"):
            raise ArtifactError("no answer")
        return fetch(uri)

    monkeypatch.setattr(cache, "fetch", flaky)
    beginning = launch.begin()
    assert launch.numbers(beginning)["clf"] == 1
    assert beginning.state.handled == ()


def test_uri_comes_last_and_needs_no_files_where_a_version_passes(launch):
    launch.put("clf", 5)
    launch.remove("clf", 1)
    assert launch.numbers(launch.begin())["clf"] == 5
    launch.put("clf", 5, answer=BROKEN)
    with pytest.raises(ModelError) as refused:
        launch.begin()
    assert "clf/5 does not pass: " in refused.value.problems[0]
    assert "clf/1 does not exist" in refused.value.problems[-1]


def test_model_without_a_pattern_whose_files_are_gone_costs_no_other_version_a_look(launch):
    launch.put("clf", 2, 3)
    launch.remove("emb", 1)
    with pytest.raises(ModelError, match="emb/1 does not exist") as refused:
        launch.begin(models=("clf",))
    assert len(refused.value.problems) == 1
    assert not launch.heard("passed over")


def test_models_that_do_not_go_together_step_back_one_by_one(launch, monkeypatch):
    launch.put("clf", 2)
    launch.put("emb", 2)
    launch.put("clf", 3)
    plain = launch_versions.attempt

    def at_odds(graph, release, *more):
        rehearsal, problems = plain(graph, release, *more)
        numbers = {v.model: v.label for v in release.versions}
        return rehearsal, [*problems, *(["shapes differ"] if numbers["clf"] == "3" else [])]

    monkeypatch.setattr(launch_versions, "attempt", at_odds)
    beginning = launch.begin()
    assert launch.numbers(beginning) == {"clf": 2, "emb": 2}
    assert beginning.state.handled == ()  # it may do with another version of the other model


def test_uri_outside_of_the_pattern_is_tried_once_nothing_under_it_passes(launch):
    launch.put("clf", 1, 2, answer=BROKEN)
    elsewhere = launch.ensemble.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "number").write_text("7")
    spec = launch.ensemble.spec()
    spec["models"][0]["uri"] = str(elsewhere)
    graph = resolve(EnsembleSpec.model_validate(spec))
    launch.checks = replace(launch.checks, graph=graph)
    beginning = launch.begin()
    assert beginning.release.version_of("clf").uri == str(elsewhere)
    assert launch.heard(f"starting at {elsewhere}; under ")
    assert launch.heard("none of the 2 passes")


def test_name_that_does_not_fit_a_fixed_rule_is_said_and_not_tried(launch):
    folder = launch.ensemble.folder
    launch.put("clf", 2)
    (folder / "clf/tmp").mkdir()
    (folder / "clf/tmp/number").write_text("8")
    launch.rules = {"clf": VersionRule(f"{folder}/clf/*", ("", ""))}
    beginning = launch.begin()
    assert launch.numbers(beginning)["clf"] == 2
    assert launch.heard("clf/tmp does not fit: ")
    assert beginning.state.rules["clf"] == launch.rules["clf"]


def test_rule_of_another_pattern_does_not_count(launch):
    launch.rules = {"clf": VersionRule("somewhere/*", ("v", ""))}
    launch.put("clf", 2)
    assert launch.begin().state.rules["clf"].around == ("", "")


def test_time_is_said_to_decide_where_numbers_do_not_go_together(launch):
    (launch.ensemble.folder / "clf/tmp").mkdir()
    (launch.ensemble.folder / "clf/tmp/number").write_text("8")
    launch.begin()
    assert launch.heard(
        "the time of modification tells which version is newer: 'tmp' has no number"
    )


def test_rule_by_number_is_said_when_it_is_fixed_and_not_again(launch):
    launch.put("clf", 2)
    text = "clf/* the number N in 'N' tells which version is newer"
    beginning = launch.begin()
    assert launch.heard(text)
    launch.said.clear()
    launch.rules = beginning.state.rules
    launch.begin()
    assert not launch.heard(text)


def test_release_accepted_last_is_resumed_also_after_a_rollback(launch):
    launch.put("clf", 2, 3)
    history = launch.accepted(2, 3, "back")
    beginning = launch.begin(history)
    assert launch.numbers(beginning) == {"clf": 2, "emb": 1}
    assert beginning.release == history[-1].release
    assert launch.heard("resuming at release")


def test_newer_version_serves_where_the_release_accepted_last_is_gone(launch):
    launch.put("clf", 2, 3)
    history = launch.accepted(2)
    launch.remove("clf", 2)
    beginning = launch.begin(history)
    assert (launch.numbers(beginning)["clf"], beginning.release.generation) == (3, 3)
    assert beginning.state.marks["clf"].version.label == "3"
    assert launch.heard("release generation 2 cannot be resumed: model 'clf': ")


def test_rollback_is_not_undone_where_the_release_accepted_last_is_gone(launch):
    launch.put("clf", 2, 3)
    history = launch.accepted(2, 3, "back")
    launch.remove("clf", 1)
    launch.remove("clf", 2)
    with pytest.raises(ModelError) as refused:
        launch.begin(history)
    assert "somebody may have rolled back from it" in refused.value.problems[-1]
    assert not any(v.label == "3" for v in launch.loader.loads)


def test_release_of_a_launch_binds_no_later_launch(launch):
    """Nobody refreshed anything since, so the ensemble file and the patterns decide again."""
    history = launch.accepted()
    again = launch.begin(history)
    assert (again.release, len(again.state.history)) == (history[-1].release, 1)
    launch.put("clf", 2)
    newer = launch.begin(history)
    assert (launch.numbers(newer)["clf"], newer.release.generation) == (2, 2)
    assert newer.state.history[-1].returns_to == 1


def test_generations_go_on_behind_those_of_other_ensembles(launch):
    beginner = launch.beginner()
    assert beginner.begin(Look((), 7)).release.generation == 8
    launch.put("clf", 2)
    history = launch.accepted(2)
    resumed = launch.beginner().begin(Look(tuple(history), 9))
    assert (resumed.release.generation, resumed.state.newest_generation) == (2, 9)


def test_what_a_release_was_accepted_upon_serves_where_nothing_newer_does(launch):
    launch.put("clf", 2, 3)
    history = launch.accepted(2, 3)
    launch.remove("clf", 3)
    beginning = launch.begin(history)
    assert (launch.numbers(beginning)["clf"], beginning.release.generation) == (2, 4)
    assert beginning.state.marks["clf"].version.label == "3"
    assert launch.heard("going back to the versions of generation 2")
