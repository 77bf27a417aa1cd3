"""The gate among storages that cannot be reached, full disks and mistakes of our own."""

import json
import logging
import pickle
from dataclasses import replace

import pytest

from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError
from pipeline.releases.checks import GateChecks
from pipeline.releases.log import ReleaseLog
from pipeline.releases.queue import CandidateQueueFactory, CandidateQueueHandle
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.release_manager import ManagerHandle
from tests.support.gating import Bench, Ensemble, manifest, outcomes, until


@pytest.fixture
def bench(tmp_path):
    made = Bench(Ensemble(tmp_path))
    yield made
    made.close()


class FullDisk(LogFiles):
    """Takes nothing for a while."""

    room = False

    def create(self, uri, text):
        if not FullDisk.room:
            raise ArtifactError(f"{uri} cannot be written: no space left on device")
        return super().create(uri, text)


def test_release_that_cannot_be_appended_never_serves_and_is_taken_once_it_can(bench):
    ensemble = bench.ensemble
    ensemble.put("clf", 2)
    gate = replace(ensemble.gate, log=ReleaseLog(ensemble.log.folder, FullDisk()))
    FullDisk.room = False
    bench.queue = bench.new_queue(gate, retry_secs=(0.0,))
    candidate = ensemble.candidate(clf=2)
    (event,) = bench.propose(candidate)
    assert event.outcome == "rejected"
    assert "release-000002.json cannot be written: no space left on device" in event.reason
    assert bench.served() == 1.0
    FullDisk.room = True
    assert outcomes(bench.propose(candidate)) == ["accepted"]
    assert bench.served() == 2.0


def test_verdict_that_could_not_be_written_is_told_once_and_written_later_with_its_reason(bench):
    log = ReleaseLog(bench.ensemble.log.folder, FullDisk())
    gate = replace(bench.ensemble.gate, log=log)
    FullDisk.room = False
    bench.queue = bench.new_queue(gate, retry_secs=())
    order = replace(bench.ensemble.candidate(clf=99), ordered=True)
    (event,) = bench.propose(order)
    assert event.outcome == "rejected"
    assert [bench.propose(order), bench.propose(order)] == [[], []]
    FullDisk.room = True
    assert bench.propose(order) == []
    (elsewhere,) = bench.propose(order, queue=bench.new_queue(gate))
    assert (elsewhere.outcome, elsewhere.reason) == ("rejected", event.reason)


def test_error_that_nobody_foresaw_is_a_rejection_and_the_gate_goes_on(bench, caplog):
    for number in (2, 3):
        bench.ensemble.put("clf", number)
    errors = [ZeroDivisionError("on command")]

    class Broken(GateChecks):
        def fetch(self, proposal):
            if errors:
                raise errors.pop()
            return super().fetch(proposal)

    gate = bench.ensemble.gate
    bench.queue = bench.new_queue(replace(gate, checks=Broken(**vars(gate.checks))))
    (event,) = bench.propose(bench.ensemble.candidate(clf=2))
    assert (event.outcome, event.reason) == ("rejected", "ZeroDivisionError: on command")
    assert "unexpected error" in caplog.text
    assert outcomes(bench.propose(bench.ensemble.candidate(clf=3))) == ["accepted"]


class FlakyStore(BeamArtifactStore):
    """Cannot be reached for some calls."""

    def __init__(self, failures):
        self.failures = failures

    def read_text(self, uri, *limits):
        if self.failures:
            self.failures -= 1
            raise ArtifactError(f"{uri} cannot be read: connection refused")
        return super().read_text(uri, *limits)


@pytest.mark.parametrize(("failures", "outcome"), [(3, "accepted"), (4, "rejected")])
def test_unreachable_storage_is_tried_again_and_said_once(tmp_path, caplog, failures, outcome):
    bench = Bench(Ensemble(tmp_path, FlakyStore(failures)))
    bench.ensemble.put("clf", 2)
    uris = {"clf": bench.ensemble.uri("clf", 2), "emb": bench.ensemble.uri("emb", 1)}
    with caplog.at_level(logging.WARNING):
        bench.queue = bench.new_queue(retry_secs=(0.0, 0.0))
        events = bench.propose(manifest(bench, json.dumps({"models": uris})))
    assert outcomes(events) == [outcome]
    assert caplog.text.count("connection refused") == 1
    again = bench.propose(*(event.candidate for event in events))
    assert outcomes(again) == ([] if outcome == "accepted" else ["accepted"]), "told once"
    bench.close()


def test_order_that_no_attempt_could_judge_is_rejected_once_and_for_all(tmp_path):
    bench = Bench(Ensemble(tmp_path, FlakyStore(100)))
    bench.queue = bench.new_queue(retry_secs=(0.0, 0.0))
    order = replace(manifest(bench, "{}"), ordered=True)
    (event,) = bench.propose(order)
    assert (event.outcome, "connection refused" in event.reason) == ("rejected", True)
    assert bench.ensemble.gate.has_verdict(order)
    assert bench.propose(order) == []
    (elsewhere,) = bench.propose(order, queue=bench.new_queue())
    assert (elsewhere.outcome, elsewhere.reason) == ("rejected", event.reason)
    bench.close()


class CountingStore(BeamArtifactStore):
    """Counts the texts that are read."""

    def __init__(self):
        self.read = []

    def read_text(self, uri, *limits):
        self.read.append(uri)
        return super().read_text(uri, *limits)


def test_manifest_is_read_once_for_its_order_and_its_verdict(tmp_path):
    store = CountingStore()
    bench = Bench(Ensemble(tmp_path, store))
    bench.ensemble.put("clf", 2)
    uris = {"clf": bench.ensemble.uri("clf", 2), "emb": bench.ensemble.uri("emb", 1)}
    candidate = manifest(bench, json.dumps({"models": uris}))
    assert outcomes(bench.propose(candidate)) == ["accepted"]
    assert store.read.count(candidate.manifest_uri) == 1
    bench.close()


class FlakyCache(ArtifactCache):
    """Cannot be reached for some calls."""

    failures = 0

    def fetch_version(self, version):
        if self.failures:
            self.failures -= 1
            raise ArtifactError("connection refused")
        return super().fetch_version(version)


def test_rollback_to_what_is_no_longer_in_memory_waits_for_the_storage(tmp_path):
    ensemble = Ensemble(tmp_path)
    cache = FlakyCache(tmp_path / "cache", ensemble.store)
    bench = Bench(ensemble, load=lambda v: cache.fetch_version(v) and ensemble.fake(v))
    for number in (2, 3):
        ensemble.put("clf", number)
        bench.propose(ensemble.candidate(clf=number))
        until(bench.manager, number)
    bench.manager.evict()
    cache.failures = 1
    gate = replace(ensemble.gate, checks=replace(ensemble.gate.checks, cache=cache))
    bench.queue = bench.new_queue(gate, bench.queue.state, retry_secs=(0.0,))
    assert outcomes(bench.propose(ensemble.rollback(to=1))) == ["rolled_back"]
    assert bench.served() == 1.0
    bench.close()


class FullCache(ArtifactCache):
    """Cannot remove what nobody needs."""

    def evict(self):
        raise RuntimeError("this folder is too deep")


def test_verdict_stands_where_copies_cannot_be_removed(tmp_path):
    ensemble = Ensemble(tmp_path)
    cache = FullCache(tmp_path / "cache", ensemble.store)
    gate = replace(ensemble.gate, checks=replace(ensemble.gate.checks, cache=cache))
    bench = Bench(ensemble)
    bench.queue = bench.new_queue(gate)
    ensemble.put("clf", 2)
    assert outcomes(bench.propose(ensemble.candidate(clf=2))) == ["accepted"]
    bench.close()


def test_candidate_that_waits_for_the_storage_holds_up_no_other(tmp_path):
    bench = Bench(Ensemble(tmp_path, FlakyStore(2)))
    bench.ensemble.put("clf", 2)
    bench.queue = bench.new_queue(retry_secs=(3600.0,))
    bench.queue.propose(manifest(bench, "{}"))
    bench.queue.propose(bench.ensemble.candidate(clf=2))
    until(bench.manager, 2)
    assert not bench.queue.wait_idle(0)
    bench.close()


def test_resource_policy_holds_one_version_of_each_model_while_one_is_tried(tmp_path):
    ensemble = Ensemble(tmp_path)
    living = []

    def load(version):
        living[:] = [(v, s) for v, s in living if not s.closed]
        assert version.model not in [v.model for v, _ in living]
        living.append((version, ensemble.fake(version)))
        return living[-1][1]

    bench = Bench(ensemble, load=load, memory_policy="resource")
    for number in (2, 3):
        ensemble.put("clf", number)
    bench.loader.fail.add(ensemble.version("clf", 3).digest)
    assert outcomes(bench.propose(ensemble.candidate(clf=2))) == ["accepted"]
    assert bench.served() == 2.0
    assert outcomes(bench.propose(ensemble.candidate(clf=3))) == ["rejected"]
    assert bench.served() == 2.0
    bench.close()


def test_closed_gate_drops_what_waits(bench):
    bench.ensemble.put("clf", 2)
    bench.queue.close()
    assert bench.propose(bench.ensemble.candidate(clf=2)) == []


def test_handle_finds_the_same_gate_after_pickling_and_none_after_close(tmp_path):
    ensemble = Ensemble(tmp_path)
    managers = ManagerHandle("job", ensemble.managers)
    handle = CandidateQueueHandle(
        "job", CandidateQueueFactory(ensemble.gate, managers, ensemble.state)
    )
    queue = handle.get()
    assert pickle.loads(pickle.dumps(handle)).get() is queue
    handle.close()
    assert handle.get() is not queue
    handle.close()
    managers.close()
