"""The gate of a process: last known good, whatever is proposed."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from pipeline.batch.release import Release
from pipeline.errors import ModelError
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate
from pipeline.releases.gate import Gate, utc_now
from pipeline.releases.proposal import Proposal
from pipeline.releases.state import initial_state
from pipeline.serving.files.artifacts import ArtifactCache, LocalCopies
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeLoader, FakeServable
from tests.support import models
from tests.support.gating import Bench, Ensemble, OnnxEnsemble, manifest, outcomes, until


@pytest.fixture
def bench(tmp_path):
    made = Bench(Ensemble(tmp_path))
    yield made
    made.close()


@pytest.fixture
def real(tmp_path):
    """The same with ONNX models; version n answers n times what version 1 does."""
    ensemble = OnnxEnsemble(tmp_path)
    made = Bench(ensemble, load=ensemble.managers.loader)
    yield made
    made.close()


@pytest.fixture
def one(bench):
    """Judges one candidate of the fake ensemble: its event."""

    def gate(candidate):
        (event,) = bench.propose(candidate)
        return event

    return gate


def test_accepted_candidate_is_served_after_a_single_load(bench):
    bench.ensemble.put("clf", 2)
    (event,) = bench.propose(bench.ensemble.candidate(clf=2))
    assert (event.outcome, event.release.generation) == ("accepted", 2)
    assert (bench.served(), bench.loads()) == (2.0, ["2"])
    assert event.details["load_secs"].keys() == {"clf"}
    assert event.details["verification_secs"] >= 0


def test_release_that_passed_serves_without_a_second_rehearsal(bench):
    bench.ensemble.put("clf", 2)
    assert outcomes(bench.propose(bench.ensemble.candidate(clf=2))) == ["accepted"]
    assert bench.served() == 2.0
    assert bench.prepared == [1]


def test_proposing_never_waits_for_a_load_and_the_old_release_serves_meanwhile(bench):
    bench.ensemble.put("clf", 2)
    bench.loader.gate.clear()
    bench.queue.propose(bench.ensemble.candidate(clf=2))
    assert not bench.queue.wait_idle(0.01)
    assert bench.queue.drain_events() == []
    assert bench.manager.active() == bench.ensemble.launch
    bench.loader.gate.set()
    assert outcomes(bench.propose()) == ["accepted"]


# --- what the issue promises


def test_burst_of_shuffled_duplicates_ends_at_the_highest_with_few_loads(bench):
    numbers = [*range(2, 52)] * 2
    random.Random(3).shuffle(numbers)
    for number in set(numbers):
        bench.ensemble.put("clf", number)
    bench.loader.gate.clear()
    candidates = [bench.ensemble.candidate(clf=n, name=f"clf {n}") for n in numbers]
    for candidate in candidates:
        bench.queue.propose(candidate)
    bench.loader.gate.set()
    events = bench.propose()
    assert bench.served() == 51.0
    assert len(bench.loads()) <= 2
    assert {event.candidate.candidate_id for event in events} == {f"clf {n}" for n in numbers}
    assert set(outcomes(events)) == {"accepted", "ignored"}
    reasons = [event.reason or "" for event in events]
    assert sum("superseded by candidate 'clf 51'" in reason for reason in reasons) >= 40


def test_next_newest_has_its_turn_when_the_newest_of_a_burst_is_rejected(bench):
    for number in (2, 3, 4):
        bench.ensemble.put("clf", number)
    bench.loader.fail.add(bench.ensemble.version("clf", 4).digest)
    bench.loader.gate.clear()
    for number in (2, 4, 3):
        bench.queue.propose(bench.ensemble.candidate(clf=number, name=f"clf {number}"))
    bench.loader.gate.set()
    became = {event.candidate.candidate_id: event.outcome for event in bench.propose()}
    assert (became["clf 4"], became["clf 3"]) == ("rejected", "accepted")
    assert bench.served() == 3.0


def test_rollback_reaches_the_older_release_and_a_redropped_version_does_not(bench):
    bench.ensemble.put("clf", 2)
    bench.propose(bench.ensemble.candidate(clf=2))
    until(bench.manager, 2)
    (event,) = bench.propose(bench.ensemble.rollback())
    assert (event.outcome, event.release.generation) == ("rolled_back", 3)
    assert (event.details["rolled_back_from"], event.details["rolled_back_to"]) == (2, 1)
    assert bench.served() == 1.0
    dropped_again = bench.propose(
        bench.ensemble.candidate(clf=2, sequence_us=9), bench.ensemble.candidate(clf=1)
    )
    assert outcomes(dropped_again) == ["ignored", "ignored"]
    assert (bench.served(), bench.loads()) == (1.0, ["2"])


def test_corrupt_candidate_leaves_the_old_release_and_its_reason_in_the_events(real):
    path = real.ensemble.path("clf", 2)
    path.mkdir()
    (path / "model.onnx").write_bytes(b"half an upload")
    (event,) = real.propose(real.ensemble.candidate(clf=2))
    assert (event.outcome, event.release) == ("rejected", None)
    assert "\n" not in event.reason
    assert event.reason.startswith("model 'clf': ")
    assert "model.onnx" in event.reason
    assert f"(proposed: model 'clf' at {path})" in event.reason
    assert real.manager.active() == real.ensemble.launch
    assert json.loads(event.line())["reason"] == event.reason


def test_signature_that_no_longer_fits_the_graph_is_rejected_and_unloaded(real):
    models.save_onnx(
        real.ensemble.path("clf", 2) / "model.onnx",
        [("ReduceMean", ["x"], ["y"], {})],
        {"x": ("float32", ["rows", 5])},
        {"y": ("float32", [1, 1])},
    )
    (event,) = real.propose(real.ensemble.candidate(clf=2))
    assert event.reason.startswith(
        "model 'clf' input 'x' takes float32[5], but column 'x' of the record is float32[4]"
    )
    assert real.manager.loaded() == sorted(real.ensemble.launch.versions)


@pytest.mark.parametrize("place", ["in its folder", "beside its file", "with its file's name"])
def test_golden_mismatch_is_rejected_and_a_match_is_not(real, place):
    ensemble = real.ensemble
    weights, bias = models.affine_weights(2.0)
    expected = (weights.sum(axis=0) + bias).tolist()
    for number in (2, 3):  # version 3 answers 3 / 2 of what is expected
        ensemble.put("clf", number)
        name = "model.onnx.golden.jsonl" if "name" in place else "golden.jsonl"
        example = {"inputs": {"x": [1, 1, 1, 1]}, "outputs": {"y": expected}}
        (ensemble.path("clf", number) / name).write_text(json.dumps(example))
    file = "" if place == "in its folder" else "/model.onnx"
    right, wrong = (
        Candidate(f"c{n}", "test", 0, models={"clf": ensemble.uri("clf", n) + file}) for n in (2, 3)
    )
    (accepted,) = real.propose(right)
    assert (accepted.outcome, accepted.details["examples"]) == ("accepted", 1)
    (rejected,) = real.propose(wrong)
    assert rejected.reason.startswith(
        f"model 'clf' at {wrong.models['clf']}: golden.jsonl line 1: "
    )
    assert "output 'y' differs by" in rejected.reason


def test_warm_up_example_that_makes_an_output_infinite_is_rejected(real):
    real.ensemble.put("clf", 2)
    example = {"inputs": {"x": [3e38, 3e38, 3e38, 3e38]}}
    (real.ensemble.path("clf", 2) / "warmup.jsonl").write_text(json.dumps(example))
    (event,) = real.propose(real.ensemble.candidate(clf=2))
    assert event.reason.endswith("warmup.jsonl line 1: output 'y' holds NaN or infinity")


def test_uri_outside_the_allowed_folders_is_rejected_before_anything_is_read(one, bench):
    event = one(Candidate("c", "test", 0, models={"clf": "gs://evil/clf/2"}))
    assert event.outcome == "rejected"
    assert event.reason.startswith("model 'clf': gs://evil/clf/2 is outside the folders")
    assert bench.loads() == []


def test_nothing_at_the_uri_is_rejected(one, bench):
    event = one(bench.ensemble.candidate(clf=2))
    path = bench.ensemble.uri("clf", 2)
    assert (event.outcome, event.reason) == ("rejected", f"model 'clf': {path} does not exist")


def test_burst_of_manifests_loads_few_releases_and_a_rollback_among_them_keeps_its_place(bench):
    uris = [bench.ensemble.uri("clf", number) for number in range(10)]
    emb = bench.ensemble.uri("emb", 1)
    candidates = []
    for number in range(2, 10):
        bench.ensemble.put("clf", number)
        text = json.dumps({"models": {"clf": uris[number], "emb": emb}})
        candidates.append(manifest(bench, text, f"r{number}", number))
    candidates.append(manifest(bench, '{"rollback": true}', "back", 20))
    bench.loader.gate.clear()
    for candidate in candidates:
        bench.queue.propose(candidate)
    bench.loader.gate.set()
    events = bench.propose()
    assert len(bench.loads()) <= 2
    assert events[-1].outcome == "rolled_back"
    assert bench.served() < 9.0


def test_manifest_with_missing_models_is_rejected(one, bench):
    event = one(manifest(bench, json.dumps({"models": {"clf": bench.ensemble.uri("clf", 1)}})))
    assert (event.outcome, event.reason) == (
        "rejected",
        "the manifest lacks model 'emb'; it must name every model: clf, emb",
    )


def test_manifest_that_is_none_or_not_there_is_rejected_with_its_place(one, bench):
    path = bench.ensemble.folder / "r.json"
    assert one(manifest(bench, "{")).reason.startswith(f"manifest {path}: not JSON: ")
    path.unlink()
    gone = one(Candidate("gone", "test", 0, manifest_uri=str(path)))
    assert (gone.outcome, gone.reason) == ("rejected", f"{path} does not exist")


def test_manifest_whose_digest_is_not_that_of_the_files_is_rejected(one, bench):
    uris = {model: bench.ensemble.uri(model, 1) for model in ("clf", "emb")}
    bench.ensemble.put("clf", 1, answer=7)
    expected = {model: {"uri": uri, "digest": "d"} for model, uri in uris.items()}
    event = one(manifest(bench, json.dumps({"models": expected})))
    assert event.reason.startswith(
        f"model 'clf': {uris['clf']} holds other files than the manifest says: expected digest d"
    )


def test_restarted_job_resumes_at_the_last_accepted_release(tmp_path):
    first = Bench(Ensemble(tmp_path))
    for number in (2, 3):
        first.ensemble.put("clf", number)
        first.propose(first.ensemble.candidate(clf=number, name=f"clf {number}"))
    first.propose(first.ensemble.rollback())
    first.close()

    ensemble = Ensemble(tmp_path)
    history = ensemble.log.load_history()
    ensemble.state = initial_state(history[-1].release, utc_now(), history)
    second = Bench(ensemble)
    assert (second.manager.active().generation, second.served()) == (4, 2.0)
    again, back = second.propose(
        ensemble.candidate(clf=3, name="again"), ensemble.rollback(to=3, name="back to 3")
    )
    assert again.outcome == "ignored", "it was rolled back from"
    assert (back.outcome, second.served()) == ("rolled_back", 3.0)
    second.close()


# --- the rows that a version is tried on


def above_one(inputs):
    if (inputs["x"] <= 1).any():
        raise ValueError("a price must be above 1")
    return {"y": inputs["x"][:, :3]}


@pytest.mark.parametrize("records", [{}, {"x": np.arange(2, 10, dtype=np.float32).reshape(2, 4)}])
def test_gate_tries_versions_on_the_records_of_the_launch(tmp_path, records):
    ensemble = Ensemble(tmp_path)
    ensemble.put("clf", 2)
    gate = Gate(replace(ensemble.gate.checks, records=records))
    manager = ReleaseManager(FakeLoader(lambda version: FakeServable(above_one)))
    event = gate(ensemble.state, ensemble.candidate(clf=2), manager).event
    assert event.outcome == ("accepted" if records else "rejected"), event.reason


def test_examples_that_are_compared_are_those_that_were_fetched(tmp_path):
    def above_a_hundred(inputs):
        x = inputs["x"]
        return {"y": np.where(x > 100, x - x.mean(axis=0), x)[:, :3]}

    ensemble = Ensemble(tmp_path)
    ensemble.put("clf", 2)
    lines = ensemble.path("clf", 2) / "warmup.jsonl"
    lines.write_text("".join(f'{{"inputs": {{"x": [{n}, 2, 3, 4]}}}}\n' for n in (200, 400)))
    copies = LocalCopies((f"{tmp_path}/clf/*",))
    cache = ArtifactCache(tmp_path / "copies", ensemble.store, copies=copies)
    checks = replace(ensemble.gate.checks, cache=cache)
    candidate = ensemble.candidate(clf=2)
    found = checks.fetch(Proposal(candidate, wanted=candidate.models))
    release = Release(2, (found["clf"].version, ensemble.version("emb", 1)))
    lines.unlink()
    manager = ReleaseManager(FakeLoader(lambda version: FakeServable(above_a_hundred)))
    with pytest.raises(ModelError, match="in other company"):
        checks.check(release, found, checks.examples_of(found.values()), manager)


def test_manifest_outside_the_allowed_folders_is_not_read(bench, tmp_path):
    ensemble = bench.ensemble
    secret = tmp_path / "secret"
    secret.write_text("the password")
    inside = AllowedUris((str(ensemble.folder / "releases"),), "manifests")
    checks = replace(ensemble.gate.checks, manifests=inside)
    queue = bench.new_queue(replace(ensemble.gate, checks=checks))
    (event,) = bench.propose(Candidate("m", "test", 0, manifest_uri=str(secret)), queue=queue)
    assert event.outcome == "rejected"
    assert "outside the folders that manifests may come from" in event.reason
    assert "password" not in event.reason
