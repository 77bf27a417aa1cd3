"""What the gate remembers: order does not matter, going back is only possible by a rollback."""

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.candidate import Candidate
from pipeline.releases.manifest import Manifest
from pipeline.releases.proposal import Refusal, next_candidate, proposal_of, release_of
from pipeline.releases.state import HANDLED, HISTORY, initial_state
from pipeline.releases.version_rule import VersionRule

NOW = datetime(2025, 1, 2, tzinfo=UTC)
CLF, EMB = "gs://b/clf", "gs://b/emb.onnx"


def version(model, uri, content=""):
    return ModelVersion(model, uri, f"digest of {uri} {content}")


LAUNCH = Release(1, (version("clf", f"{CLF}/1"), version("emb", EMB)))


def candidate(name, sequence_us=0, **proposal):
    return Candidate(name, "test", sequence_us, **proposal)


def clf(number, sequence_us=0, name=None):
    return candidate(name or f"clf {number}", sequence_us, models={"clf": f"{CLF}/{number}"})


def rollback(to=0, name="back"):
    return candidate(name, rollback_to=to)


class Gate:
    """The transitions as the gate makes them; every file there is passes."""

    def __init__(self, state=None):
        self.state = state or initial_state(LAUNCH, NOW)
        self.contents = {}
        self.fetched = []

    def propose(self, candidate, manifest=None):
        """The release, or the refusal as (outcome, reason)."""
        proposal = proposal_of(self.state, candidate, lambda one: manifest)
        if isinstance(proposal, Refusal):
            self.state = self.state.refuse(candidate)
            return proposal.outcome, proposal.reason
        found = {
            model: version(model, uri, self.contents.get(uri, ""))
            for model, uri in proposal.wanted.items()
        }
        self.fetched += proposal.wanted.values()
        release = release_of(self.state, proposal, found)
        if isinstance(release, Refusal):
            self.state = self.state.refuse(candidate, found)
            return release.outcome, release.reason
        self.state = self.state.accept(candidate, release, NOW, found=found, target=proposal.target)
        return release

    def uris(self):
        return {v.model: v.uri for v in self.state.current.versions}


@pytest.fixture
def gate():
    return Gate()


def at(gate):
    """The number of the classifier that serves."""
    return int(gate.uris()["clf"].rpartition("/")[2])


# --- candidates


def test_partial_candidate_is_merged_onto_the_last_release(gate):
    release = gate.propose(clf(2))
    assert release == Release(2, (version("clf", f"{CLF}/2"), version("emb", EMB)))
    assert gate.state.current == release


def test_candidate_with_a_verdict_is_ignored_without_a_look_at_files(gate):
    gate.propose(clf(2))
    again = gate.propose(clf(2))
    assert again == ("ignored", "duplicate: candidate 'clf 2' has its verdict already")
    assert gate.fetched == [f"{CLF}/2"]


def test_lower_number_is_older_even_where_it_is_proposed_later(gate):
    gate.propose(clf(10, sequence_us=1))
    outcome, reason = gate.propose(clf(9, sequence_us=2))
    assert (outcome, at(gate)) == ("ignored", 10)
    assert reason == (
        "superseded by candidate 'clf 10': model 'clf' was at gs://b/clf/10, and gs://b/clf/9 is "
        "older; only a rollback goes back"
    )


def test_without_numbers_the_earlier_proposal_is_older(gate):
    gate.propose(candidate("late", 20, models={"emb": "gs://b/new.onnx"}))
    outcome, _ = gate.propose(candidate("early", 10, models={"emb": "gs://b/newer.onnx"}))
    assert (outcome, gate.uris()["emb"]) == ("ignored", "gs://b/new.onnx")


def test_release_of_the_launch_is_older_than_every_proposal_without_number(gate):
    assert gate.propose(candidate("c", 0, models={"emb": "gs://b/other.onnx"})).generation == 2


def test_overwritten_file_is_a_new_version_and_an_unchanged_one_is_not(gate):
    outcome, reason = gate.propose(candidate("first look", 1, models={"emb": EMB}))
    assert (outcome, reason) == ("ignored", f"nothing changes: model 'emb' is at {EMB} already")
    gate.contents[EMB] = "overwritten"
    assert gate.propose(candidate("second look", 2, models={"emb": EMB})).generation == 2


def test_candidate_that_changes_nothing_makes_earlier_ones_old(gate):
    gate.propose(candidate("c", 20, models={"emb": EMB}))
    outcome, reason = gate.propose(candidate("late", 10, models={"emb": "gs://b/x.onnx"}))
    assert outcome == "ignored"
    assert reason.startswith("superseded by a later proposal of what serves: model 'emb' was at ")


def test_older_part_of_a_partial_candidate_is_left_out(gate):
    gate.propose(clf(5))
    proposal = proposal_of(
        gate.state, candidate("c", 1, models={"clf": f"{CLF}/4", "emb": "gs://b/x.onnx"})
    )
    assert proposal.wanted == {"emb": "gs://b/x.onnx"}
    assert "gs://b/clf/4 is older" in proposal.left_out[0]


def test_slash_at_the_end_makes_no_other_version(gate):
    outcome, _ = gate.propose(candidate("c", models={"clf": f"{CLF}/1/"}))
    assert outcome == "ignored"


def test_unknown_model_is_rejected_with_those_that_exist(gate):
    assert gate.propose(candidate("c", models={"clff": "gs://b/x", "emb": EMB})) == (
        "rejected",
        "unknown model 'clff'; the ensemble has clf, emb; did you mean 'clf'?",
    )


def test_candidate_without_models_is_rejected(gate):
    assert gate.propose(candidate("c")) == (
        "rejected",
        "the candidate names no model; the ensemble has clf, emb",
    )


MODELS = st.fixed_dictionaries(
    {}, optional={"clf": st.integers(2, 30), "emb": st.integers(2, 30)}
).filter(bool)


@given(st.lists(MODELS, max_size=8), st.randoms())
def test_shuffled_and_repeated_candidates_end_at_the_same_release(proposals, random):
    candidates = [
        candidate(
            f"c{i}",
            sequence_us=i,
            # clf is ordered by number whatever the time, emb by time only.
            models={m: f"{CLF}/{n}" if m == "clf" else f"{EMB}{i}" for m, n in numbers.items()},
        )
        for i, numbers in enumerate(proposals, start=1)
    ]
    ends = []
    for shuffled in (candidates, random.sample(candidates * 2, k=2 * len(candidates))):
        gate = Gate()
        for one in shuffled:
            gate.propose(one)
        ends.append(gate.uris())
    assert ends[0] == ends[1]


# --- rules of patterns

HASHES = VersionRule(f"{CLF}/*", None)
NUMBERS = VersionRule(f"{CLF}/*", ("r", ""))


def watched(name, sequence_us, rule):
    return candidate(f"watch {name}", sequence_us, models={"clf": f"{CLF}/{name}"}, rule=rule)


def test_rule_is_fixed_with_the_first_candidate_that_is_accepted(gate):
    assert gate.propose(watched("r9", 1, NUMBERS)).generation == 2
    assert gate.state.rules == {"clf": NUMBERS}
    assert gate.propose(watched("tmp", 9, HASHES)) == (
        "ignored",
        f"{CLF}/tmp does not fit: versions under {CLF}/* are told apart by the number N in 'rN'",
    )
    assert gate.propose(watched("r10", 0, HASHES)).generation == 3
    assert gate.state.rules == {"clf": NUMBERS}


def test_message_goes_by_the_number_where_both_names_fit_and_else_by_the_time(gate):
    gate.propose(watched("r10", 5, NUMBERS))
    message = candidate("message 1", 9, models={"clf": f"{CLF}/r9"})
    assert gate.propose(message)[0] == "ignored"
    assert gate.propose(candidate("early", 4, models={"clf": f"{CLF}/tmp"}))[0] == "ignored"
    assert gate.propose(candidate("late", 9, models={"clf": f"{CLF}/tmp"})).generation == 3


def test_hash_of_digits_is_ordered_by_time_where_the_time_was_fixed(gate):
    gate.propose(watched("9123456", 5, HASHES))
    assert gate.propose(watched("0123456", 9, HASHES)).generation == 3


def test_rule_outlives_the_job(gate):
    gate.propose(watched("r9", 1, NUMBERS))
    again = Gate(initial_state(gate.state.current, NOW, gate.state.history))
    assert again.state.rules == {"clf": NUMBERS}
    assert again.propose(watched("tmp", 9, HASHES))[0] == "ignored"


def test_what_a_source_passes_over_is_reported_and_changes_nothing(gate):
    told = candidate("told", passed_over="passed over: models/tmp does not fit")
    assert gate.propose(told) == ("ignored", "passed over: models/tmp does not fit")
    assert gate.propose(told)[1].startswith("duplicate")


# --- manifests


def manifest(**uris):
    return Manifest(uris), candidate("r12", 9, manifest_uri="gs://b/r12.json")


def test_manifest_is_accepted_as_a_whole(gate):
    text, one = manifest(clf=f"{CLF}/7", emb="gs://b/x.onnx")
    assert gate.propose(one, text).generation == 2
    assert gate.uris() == {"clf": f"{CLF}/7", "emb": "gs://b/x.onnx"}


def test_manifest_with_missing_models_is_rejected_naming_them(gate):
    text, one = manifest(clf=f"{CLF}/7")
    assert gate.propose(one, text) == (
        "rejected",
        "the manifest lacks model 'emb'; it must name every model: clf, emb",
    )


def test_manifest_with_one_older_model_is_ignored_as_a_whole(gate):
    gate.propose(clf(8))
    text, one = manifest(clf=f"{CLF}/7", emb="gs://b/x.onnx")
    assert gate.propose(one, text)[0] == "ignored"
    assert gate.uris()["emb"] == EMB


def test_manifest_may_keep_what_serves_since_a_rollback(gate):
    gate.propose(clf(2))
    gate.propose(rollback())
    text, one = manifest(clf=f"{CLF}/1", emb="gs://b/x.onnx")
    assert gate.propose(one, text).generation == 4


# --- rollback


def test_rollback_returns_to_the_release_before_under_a_new_generation(gate):
    gate.propose(clf(2))
    assert gate.propose(rollback()) == Release(3, LAUNCH.versions)


def test_repeated_rollbacks_go_further_back_and_never_to_and_fro(gate):
    for number in (2, 3, 4):
        gate.propose(clf(number))
    seen = []
    for n in range(3):
        gate.propose(rollback(name=f"back {n}"))
        seen.append(at(gate))
    assert seen == [3, 2, 1]
    assert gate.propose(rollback(name="back 3")) == (
        "rejected",
        "generation 7 was accepted upon no other, so there is nothing to undo; those to return to: "
        "1, 2, 3, 4, 5, 6",
    )


def test_rollback_after_a_release_upon_a_rollback_skips_what_was_undone(gate):
    gate.propose(clf(2))
    gate.propose(rollback(name="first"))
    gate.propose(clf(3))
    gate.propose(rollback(name="second"))
    assert at(gate) == 1


def test_rollback_to_a_generation_reaches_what_was_undone(gate):
    for number in (2, 3):
        gate.propose(clf(number))
    gate.propose(rollback(to=1, name="to 1"))
    assert at(gate) == 1
    gate.propose(rollback(to=3, name="to 3"))
    assert (at(gate), gate.state.current.generation) == (3, 5)


def test_rollback_to_an_unknown_generation_names_those_known(gate):
    gate.propose(clf(2))
    assert gate.propose(rollback(to=7)) == (
        "rejected",
        "generation 7 is not remembered; those to return to: 1",
    )


def test_rollback_to_what_serves_is_ignored(gate):
    gate.propose(clf(2))
    assert gate.propose(rollback(to=2))[0] == "ignored"


def test_version_rolled_back_from_stays_out_and_a_newer_one_passes(gate):
    gate.propose(clf(2, sequence_us=5))
    gate.propose(rollback())
    assert gate.propose(clf(2, sequence_us=9, name="dropped again")) == (
        "ignored",
        "model 'clf': gs://b/clf/2 was rolled back from, and only a rollback to its generation "
        "returns to it",
    )
    assert gate.propose(clf(3)).generation == 4


def test_version_rolled_back_from_passes_once_its_files_changed(gate):
    gate.propose(clf(2))
    gate.propose(rollback())
    gate.contents[f"{CLF}/2"] = "repaired"
    assert gate.propose(clf(2, name="repaired")).generation == 4


def test_mark_stays_at_the_highest_when_the_restored_version_is_overwritten(gate):
    gate.propose(clf(2))
    gate.propose(rollback())
    gate.contents[f"{CLF}/1"] = "overwritten"
    assert gate.propose(clf(1, sequence_us=5, name="overwritten")).generation == 4
    assert gate.propose(clf(2, sequence_us=9, name="dropped again"))[0] == "ignored"


def test_mark_is_not_lowered_by_what_serves_since_a_rollback(gate):
    gate.propose(clf(2, sequence_us=5))
    gate.propose(rollback())
    gate.propose(clf(1, sequence_us=8, name="as it is"))
    assert gate.propose(clf(2, sequence_us=9, name="dropped again"))[0] == "ignored"


def test_mark_of_a_model_without_numbers_is_not_lowered_by_what_serves_since_a_rollback(gate):
    gate.propose(candidate("new", 5, models={"emb": "gs://b/new.onnx"}))
    gate.propose(rollback())
    gate.propose(candidate("as it is", 8, models={"emb": EMB}))
    again = candidate("dropped again", 9, models={"emb": "gs://b/new.onnx"})
    assert gate.propose(again)[0] == "ignored"


# --- memory


def test_memory_is_bounded_and_the_oldest_is_forgotten(gate):
    for number in range(2, HISTORY + 12):
        gate.propose(clf(number))
    assert len(gate.state.history) == HISTORY
    for n in range(HANDLED + 5):
        gate.state = gate.state.refuse(candidate(f"c{n}"))
    assert (len(gate.state.handled), gate.state.handled[0]) == (HANDLED, "c5")
    assert pickle.loads(pickle.dumps(gate.state)) == gate.state


def test_restarted_gate_goes_on_where_the_history_ends(gate):
    gate.propose(clf(2, sequence_us=5))
    gate.propose(clf(3, sequence_us=6))
    gate.propose(rollback())
    again = Gate(initial_state(gate.state.current, NOW, gate.state.history))
    assert again.state.current == gate.state.current
    assert again.propose(clf(3, name="dropped again"))[0] == "ignored"
    assert again.propose(rollback())[1].startswith("duplicate")
    assert again.propose(rollback(name="further")).generation == 5
    assert at(again) == 1


def test_history_of_an_ensemble_with_other_models_does_not_count(gate):
    gate.propose(clf(2))
    other = Release(1, (version("clf", f"{CLF}/1"),))
    assert initial_state(other, NOW, gate.state.history).history[0].release == other


# --- which of those that wait


def order(*waiting):
    waiting = list(waiting)
    names = []
    while waiting:
        names.append(waiting.pop(next_candidate(waiting)).candidate_id)
    return names


def test_newest_of_a_burst_goes_first():
    assert order(*map(clf, (3, 10, 2, 9))) == ["clf 10", "clf 9", "clf 3", "clf 2"]


def test_candidates_that_do_not_cover_each_other_keep_their_order():
    both = candidate("both", 1, models={"clf": f"{CLF}/2", "emb": "gs://b/x.onnx"})
    emb = candidate("emb", 2, models={"emb": "gs://b/y.onnx"})
    assert order(both, clf(3, 3), emb) == ["both", "clf 3", "emb"]


def test_unread_manifest_overtakes_nothing():
    unread = candidate("r", 9, manifest_uri="gs://b/r.json")
    assert order(clf(7, 1), unread) == ["clf 7", "r"]


def test_nothing_overtakes_a_rollback():
    assert order(clf(2), clf(3), rollback(), clf(5), clf(6)) == [
        "clf 3",
        "clf 2",
        "back",
        "clf 6",
        "clf 5",
    ]
