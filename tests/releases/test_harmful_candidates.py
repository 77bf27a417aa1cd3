"""Candidates that kill, block or swell the process that loads them: each has a verdict, and the
stream goes on with what served.
"""

import threading
from dataclasses import replace

import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import ThreadEndedError
from pipeline.releases.candidate import Candidate
from pipeline.releases.gate import Gate, utc_now
from pipeline.releases.queue import CandidateQueue
from pipeline.releases.state import initial_state
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.trial.trials import Trials
from tests.support.deadly import MODEL, Harm, trial_processes
from tests.support.gating import OnnxEnsemble, outcomes
from tests.support.waiting import wait_until


class Stream:
    """The gate and the models of a stream whose first version is good."""

    def __init__(self, folder, **limits):
        self.harm = Harm(folder, **limits)
        uri = self.harm.uri(1)
        first = Release(1, (ModelVersion(MODEL, uri, self.harm.cache.fetch(uri).digest),))
        self.manager = ManagerFactory(self.harm.graph, self.harm.loader)()
        self.manager.ensure(first)
        self.queue = self.new_queue(Gate(self.harm.checks), first)

    def new_queue(self, gate, first):
        return CandidateQueue(gate, self.manager, initial_state(first, utc_now()), retry_secs=())

    def propose(self, number, what):
        self.queue.propose(self.harm.candidate(number, what))

    def verdict(self, number, what):
        self.propose(number, what)
        assert self.queue.wait_idle(60)
        (event,) = self.queue.drain_events()
        return event

    def close(self):
        self.queue.close()
        self.manager.close()


@pytest.fixture
def stream(tmp_path):
    made = Stream(tmp_path, cpu_secs=5, memory_mb=700)
    yield made
    made.close()


@pytest.mark.parametrize(
    "what", ["load SIGSEGV", "call SIGABRT", "load panic", "call exit", "load memory", "call loop"]
)
def test_harmful_candidate_is_rejected_and_a_good_one_after_it_serves(stream, what):
    rejected = stream.verdict(2, what)
    assert rejected.outcome == "rejected"
    assert "model 'net'" in rejected.reason
    assert stream.manager.active().generation == 1
    assert stream.verdict(3, "good 3").outcome == "accepted"
    assert stream.manager.wait_for(2, 20)


def test_what_was_accepted_is_not_tried_on_the_way_back(stream, monkeypatch):
    assert stream.verdict(2, "good 2").outcome == "accepted"
    tried = []
    monkeypatch.setattr("pipeline.serving.trial.trials.answer_of", lambda *_: tried.append(1))
    stream.queue.propose(Candidate("rollback", "test", 0, rollback_to=1))
    assert stream.queue.wait_idle(60)
    assert stream.queue.drain_events()[-1].outcome == "rolled_back"
    assert not tried


def test_models_beside_the_new_one_are_not_loaded_for_its_trial(tmp_path):
    """The trial of one of two models is given what the other computes."""
    ensemble = OnnxEnsemble(tmp_path)
    ensemble.put("clf", 2)
    trials = Trials(ensemble.graph, ensemble.managers.loader)
    asked = []

    class Seen(Trials):
        def __call__(self, release, found, *rest, **options):
            asked.append([version.model for version in found])
            return super().__call__(release, found, *rest, **options)

    checks = replace(ensemble.gate.checks, trials=Seen(trials.graph, trials.loader))
    manager = ensemble.managers()
    manager.ensure(ensemble.launch)
    queue = CandidateQueue(Gate(checks), manager, ensemble.state, retry_secs=())
    queue.propose(ensemble.candidate(clf=2))
    assert queue.wait_idle(60)
    assert outcomes(queue.drain_events()) == ["accepted"]
    assert asked == [["clf"]]
    queue.close()
    manager.close()


def test_job_that_ends_does_not_wait_for_a_candidate_that_never_comes_back(tmp_path):
    before = set(threading.enumerate())  # of tests that ran earlier in this process
    stream = Stream(tmp_path, cpu_secs=600)
    stream.propose(2, "load loop")
    wait_until(trial_processes)
    stream.close()
    assert not trial_processes()
    assert not any(thread.name == "gate" for thread in {*threading.enumerate()} - before)
    assert stream.queue.drain_events() == []


def test_gate_whose_thread_ends_ends_the_job_with_the_reason(tmp_path):
    stream = Stream(tmp_path)

    class Broken(Gate):
        def __call__(self, *args, **options):
            raise SystemExit("of all things")

    queue = stream.new_queue(Broken(stream.harm.checks), stream.manager.active())
    queue.propose(stream.harm.candidate(2, "good 2"))

    def told():
        try:
            queue.drain_events()
        except ThreadEndedError as error:
            return str(error)
        return None

    wait_until(told)
    assert told() == "the thread 'gate' ended: SystemExit: of all things"
    stream.close()


def test_panic_while_a_release_is_prepared_is_its_failure(tmp_path):
    stream = Stream(tmp_path)
    uri = str(stream.harm.put(2, "load panic"))
    version = ModelVersion(MODEL, uri, stream.harm.cache.fetch(uri).digest)
    stream.manager.aspire(Release(2, (version,)))
    errors = []

    def failed():
        errors.extend(one.error for one in stream.manager.drain_activations() if one.error)
        return errors

    wait_until(failed)
    assert "index out of bounds" in str(errors[0])
    assert stream.manager.active().generation == 1
    stream.close()
