"""The gate as a step of a pipeline, on the runner that local jobs use."""

import json

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from pipeline.batch.release import Release
from pipeline.connectors.pubsub.source import PollMessages
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.listing import StorageLister
from pipeline.errors import ArtifactError
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.queue import CandidateQueueFactory, CandidateQueueHandle
from pipeline.releases.watcher import WatcherHandle
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager
from pipeline.transforms.gate import EVENTS, KeyedGate, LocalGate, activation_events
from pipeline.transforms.refresh_messages import CandidatesFromMessages, WatcherLookout
from tests.support.gating import Ensemble, OnnxEnsemble, until
from tests.support.waiting import wait_until


@pytest.fixture
def ensemble(tmp_path):
    return OnnxEnsemble(tmp_path)


@pytest.fixture
def handles(ensemble):
    """Gate and models of this process."""
    managers = ManagerHandle(str(ensemble.folder), ensemble.managers)
    queues = CandidateQueueHandle(
        str(ensemble.folder), CandidateQueueFactory(ensemble.gate, managers, ensemble.state)
    )
    yield queues, managers
    queues.close()
    managers.close()


def run_local(handles, elements, expected):
    """Checks what comes out for some elements: event and generation."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        events = pipeline | beam.Create(elements) | beam.ParDo(LocalGate(*handles))
        assert_that(events | beam.Map(summary), equal_to(expected))


def summary(event):
    assert isinstance(event, ReleaseEvent)
    return event.outcome, event.release.generation if event.release else event.reason


def test_local_gate_never_waits_and_a_later_tick_brings_verdict_and_activation(ensemble, handles):
    queues, managers = handles
    queue, manager = queues.get(), managers.get()
    manager.ensure(ensemble.launch)
    manager.drain_activations()
    ensemble.put("clf", 2)
    with manager.trial(ensemble.launch):  # no verdict is possible as long as another is tried
        run_local(handles, [ensemble.candidate(clf=2)], [])
    assert queue.wait_idle(10)
    until(manager, 2)
    run_local(handles, [0], [("accepted", 2), ("activated", 2)])


def run_keyed(step, candidates, events, of=None):
    """Checks what comes out for some candidates: event and generation, or what `of` makes of it."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        elements = beam.Create([("gate", candidate) for candidate in candidates])
        found = pipeline | elements | beam.ParDo(step)
        assert_that(found | beam.Map(of or summary), equal_to(events))


def test_keyed_gate_remembers_from_candidate_to_candidate(ensemble):
    for number in (2, 3):
        ensemble.put("clf", number)
    (ensemble.path("emb", 2)).mkdir()
    (ensemble.path("emb", 2) / "model.onnx").write_bytes(b"")
    clf = [ensemble.version("clf", n) for n in range(4) if n]
    emb = ensemble.version("emb", 1)
    first = [ensemble.candidate(clf=2, name="a"), ensemble.candidate(clf=3, name="b")]
    run_keyed(
        KeyedGate(ensemble.gate, ensemble.managers, ensemble.state),
        [*first, ensemble.candidate(emb=2, name="empty"), ensemble.rollback()],
        [("accepted", 2), ("accepted", 3), ("rejected", _empty(ensemble)), ("rolled_back", 4)],
    )
    assert [one.release for one in ensemble.log.load_history()] == [
        Release(2, (clf[1], emb)),
        Release(3, (clf[2], emb)),
        Release(4, (clf[1], emb)),
    ]
    # Another process, which knows nothing of what happened.
    run_keyed(
        KeyedGate(ensemble.gate, ensemble.managers, ensemble.state),
        [*first, ensemble.candidate(clf=3, name="later")],
        [
            ("accepted", 2),
            ("accepted", 3),
            (
                "ignored",
                f"model 'clf': {clf[2].uri} was rolled back from, and only a rollback to its "
                "generation returns to it",
            ),
        ],
    )


def _empty(ensemble):
    place = ensemble.uri("emb", 2)
    return f"model 'emb': {place}/model.onnx is empty (proposed: model 'emb' at {place})"


SERVABLES = []


class CountingManagers:
    """Makes managers of fake models, and keeps the servables in sight."""

    def __init__(self, ensemble):
        self.fake = ensemble.fake

    def __call__(self):
        return ReleaseManager(self.load)

    def load(self, version):
        SERVABLES.append(self.fake(version))
        return SERVABLES[-1]


class FlakyStore(BeamArtifactStore):
    """Cannot be reached for the first two calls."""

    failures = 2

    def read_text(self, uri, *limits):
        if self.failures:
            self.failures -= 1
            raise ArtifactError("connection refused")
        return super().read_text(uri, *limits)


def test_keyed_gate_frees_what_it_loaded(tmp_path):
    SERVABLES.clear()
    ensemble = Ensemble(tmp_path)
    ensemble.put("clf", 2)
    step = KeyedGate(ensemble.gate, CountingManagers(ensemble), ensemble.state)
    run_keyed(step, [ensemble.candidate(clf=2)], [("accepted", 2)])
    assert len(SERVABLES) == 2
    assert all(servable.closed for servable in SERVABLES)


@pytest.mark.parametrize(("retry_secs", "outcome"), [((0.0, 0.0), "ignored"), ((), "rejected")])
def test_keyed_gate_waits_for_an_unreachable_storage(tmp_path, retry_secs, outcome):
    ensemble = Ensemble(tmp_path, FlakyStore())
    accepted = ensemble.folder / "r.json"
    text = {"models": {m: ensemble.uri(m, 1) for m in ("clf", "emb")}}
    accepted.write_text(str(text).replace("'", '"'))
    step = KeyedGate(
        ensemble.gate, CountingManagers(ensemble), ensemble.state, retry_secs=retry_secs
    )
    candidate = Candidate("m", "test", 0, manifest_uri=str(accepted))
    run_keyed(step, [candidate], [outcome], of=lambda event: event.outcome)


class Refusing(BeamArtifactStore):
    """Never lets anybody read one manifest."""

    def read_text(self, uri, *limits):
        if uri.endswith("m.json"):
            raise ArtifactError(f"{uri} cannot be read: 403")
        return super().read_text(uri, *limits)


@pytest.mark.parametrize("ordered", [True, False])
def test_copies_of_what_was_given_up_do_not_keep_others_from_the_keyed_gate(tmp_path, ordered):
    ensemble = Ensemble(tmp_path, Refusing())
    ensemble.put("clf", 2)
    now, spent = [0.0], []

    def wait(secs):
        spent.append(secs)
        now[0] += secs

    step = KeyedGate(
        ensemble.gate,
        CountingManagers(ensemble),
        ensemble.state,
        retry_secs=(20.0, 40.0),
        wait=wait,
        clock=lambda: now[0],
    )

    def told(candidate):
        return [event.outcome for event in step.process(("gate", candidate), None)]

    stuck = Candidate("m", "test", 0, manifest_uri=str(tmp_path / "m.json"), ordered=ordered)
    assert [told(stuck) for _ in range(10)] == [["rejected"], *[[]] * 9]
    assert spent == [20.0, 40.0]
    assert told(ensemble.candidate(clf=2)) == ["accepted"]
    now[0] += 60.0
    assert told(stuck) == ([] if ordered else ["rejected"]), "an order has its verdict for good"
    assert len(spent) == (2 if ordered else 4)


def test_failed_activation_tells_process_attempt_and_reason(tmp_path):
    ensemble = Ensemble(tmp_path)

    def fail(release, manager):
        raise ArtifactError("no\nluck")

    manager = ReleaseManager(ensemble.fake, prepare=fail)
    with pytest.raises(ArtifactError):
        manager.ensure(ensemble.launch)
    (event,) = activation_events(manager)
    assert (event.outcome, event.reason) == ("failed", "ArtifactError: no\\nluck")
    assert (event.details["attempt"], event.details["final"]) == (1, True)
    assert {"process", "prepare_secs", "load_secs"} <= event.details.keys()
    assert activation_events(manager) == []


def test_message_is_acknowledged_when_its_candidate_has_its_verdict(
    ensemble, handles, pubsub, running, stop, job_key
):
    """Else a process that ends in between would lose the candidate."""
    queues, managers = handles
    topic = pubsub.new_topic()
    subscription = pubsub.new_subscription(topic)
    watcher = WatcherHandle(job_key, (), StorageLister(), bool, 1)

    def source(pipeline):
        read = PollMessages(
            subscription=subscription, block_rows=9, stopped=stop, settled=queues.is_settled
        )
        interpret = CandidatesFromMessages(["clf", "emb"], WatcherLookout(watcher))
        candidates = pipeline | read | beam.ParDo(interpret).with_outputs(EVENTS, main="candidates")
        return candidates["candidates"] | beam.ParDo(LocalGate(*handles))

    ensemble.put("clf", 2)
    managers.get().ensure(ensemble.launch)
    managers.get().drain_activations()
    models = {"models": dict(ensemble.candidate(clf=2).models)}
    pubsub.publish(topic, json.dumps(models).encode())
    # No verdict is possible as long as another release is tried.
    with managers.get().trial(ensemble.launch), running(source):
        wait_until(lambda: not queues.is_settled())
    assert queues.get().wait_idle(10)
    until(managers.get(), 2)
    with running(source) as take:
        assert [summary(take()) for _ in range(2)] == [("accepted", 2), ("activated", 2)]
        wait_until(queues.is_settled)
    assert pubsub.unacknowledged(subscription) == 0
