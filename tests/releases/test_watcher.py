import logging
import pickle
import threading

import pytest

from pipeline.errors import ArtifactError
from pipeline.releases.versions import StoredFile, WatchTarget
from pipeline.releases.watcher import Watcher, WatcherHandle

CLF = WatchTarget("gs://b/clf/*", ("clf",))
EMBED = WatchTarget("gs://b/embed/*", ("embed",))
LONG_SECS = 3600.0
SHORT_SECS = 0.01
WAIT_SECS = 20.0


class FakeLister:
    """Lists what it is told to; counts, waits and fails on command."""

    def __init__(self):
        self.files, self.error, self.calls = {}, None, {}
        self.failing = None
        self.gates = {}
        self._changed = threading.Condition()

    def add(self, *uris, fingerprint="g1"):
        self.files |= {uri: StoredFile(uri, 1, 1, fingerprint) for uri in uris}

    def hold(self, pattern):
        self.gates[pattern] = threading.Event()

    def list_files(self, pattern, rule=None):
        with self._changed:
            self.calls[pattern] = self.calls.get(pattern, 0) + 1
            self._changed.notify_all()
        if pattern in self.gates:
            assert self.gates[pattern].wait(WAIT_SECS)
        if self.error is not None and self.failing in (None, pattern):
            raise self.error
        return list(self.files.values())

    def wait_for_calls(self, pattern, count):
        with self._changed:
            assert self._changed.wait_for(lambda: self.calls.get(pattern, 0) >= count, WAIT_SECS)


@pytest.fixture
def lister():
    return FakeLister()


@pytest.fixture
def watch(lister):
    """Starts a watcher that ends with the test."""
    started, asked = [], []

    def decided_once_offered(candidate):
        asked.append(candidate)
        return asked.count(candidate) > 1

    def start(*targets, interval_secs=LONG_SECS, periodic=True, decided=decided_once_offered):
        watcher = Watcher(targets, lister, decided, interval_secs=interval_secs, periodic=periodic)
        started.append(watcher)
        return watcher

    yield start
    for gate in lister.gates.values():
        gate.set()
    for watcher in started:
        watcher.close()


def uris(candidates):
    return [uri for candidate in candidates for uri in candidate.models.values()]


def test_newest_is_offered_once_an_interval_until_it_has_its_verdict(lister, watch):
    lister.add("gs://b/clf/9.onnx", "gs://b/clf/10.onnx")
    decided = []
    watcher = watch(CLF, decided=decided.__contains__)
    offers = watcher.offers(WAIT_SECS)
    assert uris(offers) == ["gs://b/clf/10.onnx"]
    assert watcher.offers() == []
    watcher.look_now(CLF)  # stands for the next interval
    assert watcher.offers(WAIT_SECS) == offers
    decided += offers
    watcher.look_now(CLF)
    lister.wait_for_calls(CLF.pattern, 3)
    watcher.look_now(CLF)
    lister.wait_for_calls(CLF.pattern, 4)  # so the third look is over
    assert watcher.offers() == []


def test_what_has_its_verdict_from_before_is_not_offered(lister, watch):
    lister.add("gs://b/clf/9.onnx")
    watcher = watch(CLF, decided=lambda candidate: "clf/9" in candidate.candidate_id)
    lister.add("gs://b/clf/10.onnx")
    watcher.look_now(CLF)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/10.onnx"]


def test_on_demand_a_candidate_without_a_verdict_is_offered_again(lister, watch):
    lister.add("gs://b/clf/9.onnx")
    watcher = watch(CLF, interval_secs=SHORT_SECS, periodic=False, decided=lambda candidate: False)
    watcher.look_now(CLF)
    assert watcher.offers(WAIT_SECS) == watcher.offers(WAIT_SECS) != []


def test_newer_version_takes_the_place_of_one_without_a_verdict(lister, watch):
    lister.add("gs://b/clf/9.onnx")
    watcher = watch(CLF, decided=lambda candidate: False)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/9.onnx"]
    lister.add("gs://b/clf/10.onnx")
    watcher.look_now(CLF)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/10.onnx"]


def test_storage_that_hangs_holds_up_neither_bundles_nor_other_patterns(lister, watch):
    lister.add("gs://b/clf/9.onnx", "gs://b/embed/3.onnx")
    lister.hold(CLF.pattern)
    watcher = watch(CLF, EMBED, decided=lambda candidate: False)
    lister.wait_for_calls(CLF.pattern, 1)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/embed/3.onnx"]
    watcher.look_now(CLF)
    lister.gates[CLF.pattern].set()
    lister.wait_for_calls(CLF.pattern, 2)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/9.onnx"]


def test_unreachable_storage_is_said_once_when_it_begins_and_once_when_it_ends(
    lister, watch, caplog
):
    caplog.set_level(logging.INFO)
    lister.add("gs://b/clf/9.onnx")
    lister.error = ArtifactError("gs://b/clf/* cannot be listed: the storage does not answer")
    watcher = watch(CLF, interval_secs=SHORT_SECS)
    lister.wait_for_calls(CLF.pattern, 6)
    lister.error = None
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/9.onnx"]
    begun, ended = (record.getMessage() for record in caplog.records)
    assert begun.startswith("no look for new versions: gs://b/clf/* cannot be listed: the storage")
    assert "under gs://b/clf/* works again" in ended


def test_surprise_in_a_look_does_not_end_the_watch(lister, watch, caplog):
    lister.add("gs://b/clf/9.onnx")
    lister.error = RuntimeError("boom")
    watcher = watch(CLF, interval_secs=SHORT_SECS)
    lister.wait_for_calls(CLF.pattern, 2)
    lister.error = None
    assert watcher.offers(WAIT_SECS)
    assert "RuntimeError: boom" in caplog.text


def test_on_demand_nothing_is_looked_at_that_nobody_asked_for(lister, watch):
    lister.add("gs://b/clf/9.onnx")
    lister.hold(EMBED.pattern)
    watcher = watch(EMBED, CLF, interval_secs=SHORT_SECS, periodic=False)
    watcher.look_now(CLF)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/9.onnx"]
    lister.error, lister.failing = ArtifactError("no answer"), EMBED.pattern
    lister.gates[EMBED.pattern].set()
    watcher.look_now(EMBED)
    lister.wait_for_calls(EMBED.pattern, 6)  # so five intervals have passed
    assert lister.calls[CLF.pattern] <= 2, "one more finds that it has its verdict"


def test_on_demand_a_folder_is_looked_at_until_it_is_complete(lister, watch):
    lister.add("gs://b/clf/8/saved_model.pb")
    watcher = watch(CLF, interval_secs=SHORT_SECS, periodic=False)
    watcher.look_now(CLF)
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/8"]
    assert lister.calls == {CLF.pattern: 2}


def test_on_demand_a_look_that_failed_is_repeated(lister, watch):
    lister.add("gs://b/clf/9.onnx")
    lister.error = ArtifactError("no answer")
    watcher = watch(CLF, interval_secs=SHORT_SECS, periodic=False)
    watcher.look_now(CLF)
    lister.wait_for_calls(CLF.pattern, 2)
    lister.error = None
    assert watcher.offers(WAIT_SECS)


def test_burst_of_requests_during_a_look_causes_one_more(lister, watch):
    lister.hold(CLF.pattern)
    watcher = watch(CLF, periodic=False)
    watcher.look_now(CLF)
    lister.wait_for_calls(CLF.pattern, 1)
    for _ in range(100):
        watcher.look_now(CLF)
    lister.add("gs://b/clf/9.onnx")
    lister.gates[CLF.pattern].set()
    lister.wait_for_calls(CLF.pattern, 2)
    watcher.look_now(CLF)
    lister.wait_for_calls(CLF.pattern, 3)  # and not before the two others
    assert lister.calls == {CLF.pattern: 3}


def test_every_step_of_a_job_finds_the_same_watcher_also_when_it_is_closed(lister):
    handle = WatcherHandle(
        "test-handle", (CLF,), None, has_verdict=bool, interval_secs=1, periodic=False
    )
    watcher = pickle.loads(pickle.dumps(handle)).get()
    watcher.close()
    assert handle.get() is watcher
    handle.get().look_now(CLF)
    assert handle.get().offers(WAIT_SECS) == []


def test_look_that_fails_whatever_the_reason_is_followed_by_others(lister, watch):
    """A fingerprint that is no text, as no lister makes it, stands for what nobody foresaw."""
    lister.add("gs://b/clf/1.onnx")
    lister.files["gs://b/clf/2.onnx"] = None
    watcher = watch(CLF, interval_secs=SHORT_SECS)
    lister.wait_for_calls(CLF.pattern, 2)
    del lister.files["gs://b/clf/2.onnx"]
    assert uris(watcher.offers(WAIT_SECS)) == ["gs://b/clf/1.onnx"]
