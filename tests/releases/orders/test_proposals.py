"""What people propose in the release folder reaches every gate, once, in its order."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.connectors.storage.log_files import LogFiles
from pipeline.errors import ArtifactError
from pipeline.releases.orders.proposals import Orders, ProposalFolder, ProposalReader
from pipeline.releases.watcher import Watcher
from pipeline.serving.activation import Timing
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.release_manager import ReleaseManager
from pipeline.testing import FakeLoader
from tests.support.gating import Bench, Ensemble
from tests.support.waiting import wait_until

NOW = datetime(2025, 1, 1, tzinfo=UTC)
SOON_SECS = 0.01


class Storage(LogFiles):
    """Counts what is asked, and may be away."""

    away = False
    asked = 0

    def read(self, uri):
        return self._answer(super().read, uri)

    def names(self, folder, start):
        return self._answer(super().names, folder, start)

    def _answer(self, ask, *arguments):
        type(self).asked += 1
        if type(self).away:
            raise ArtifactError("the storage does not answer")
        return ask(*arguments)


@pytest.fixture
def storage():
    """A storage of the test's own."""
    return type("OwnStorage", (Storage,), {})


@pytest.fixture
def folder(tmp_path, storage):
    return ProposalFolder(str(tmp_path / "releases"), storage(), ("clf", "emb"))


@pytest.fixture(params=["local", "bucket"])
def place(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "releases")
    return request.getfixturevalue("gcs").new_bucket() + "/releases/"


class Decided(set):
    """Ids of candidates that have their verdict."""

    def __call__(self, candidate):
        return candidate.candidate_id in self


def put(folder, name, content):
    folder.storage.create(f"{folder.folder.rstrip('/')}/proposals/{name}", content)


def test_proposals_are_read_in_the_order_in_which_they_were_made(place):
    folder = ProposalFolder(place, LogFiles(), ("clf", "emb"))
    uri = folder.propose(NOW, 17, models={"clf": "clf/2"})
    assert uri == f"{place.rstrip('/')}/proposals/proposal-000001.json"
    folder.propose(NOW, 3, models={}, rollback_to=4)
    put(folder, "proposal-1000000.json", '{"sequence_us": 5, "models": {"emb": "emb/2"}}')
    folder.propose(NOW, 6, models={"clf": "clf/3"})
    found = [folder.read(name) for name in folder.names()]
    assert [(one.models, one.rollback_to, one.sequence_us) for one in found] == [
        ({"clf": "clf/2"}, None, 17),
        ({}, 4, 18),
        ({"emb": "emb/2"}, None, 5),
        ({"clf": "clf/3"}, None, 6),
    ]
    assert found[0].source == f"proposal {uri}"
    assert len({one.candidate_id for one in found}) == 4


def test_proposal_whose_number_another_took_meanwhile_has_the_next(folder):
    class Late(LogFiles):
        """Lists as if the first proposal were not there yet."""

        listings = 0

        def names(self, folder, start):
            Late.listings += 1
            return super().names(folder, start) if Late.listings > 1 else []

    folder.propose(NOW, 1, models={"clf": "clf/2"})
    late = replace(folder, storage=Late())
    assert late.propose(NOW, 2, models={"clf": "clf/3"}).endswith("proposal-000002.json")


def test_proposal_for_another_ensemble_is_not_read(folder):
    replace(folder, models=("clf",)).propose(NOW, 1, models={"clf": "clf/2"})
    assert ProposalReader(folder, Decided()).look() == ()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"models": {"clf": "clf/2"}}',
        '{"sequence_us": 1}',
        '{"sequence_us": 1, "models": {}}',
        '{"sequence_us": 1, "models": {"clf": 3}}',
        '{"sequence_us": 1, "models": {"clf": "a"}, "rollback_to": 2}',
        '{"sequence_us": 1, "rollback_to": 0}',
        '{"sequence_us": true, "rollback_to": 1}',
        '{"sequence_us": 1, "rollback_to": 99999999999999999999}',
        '{"format": 2, "sequence_us": 1, "rollback_to": 1}',
    ],
)
def test_damaged_proposal_is_passed_over_and_its_event_says_why(folder, content):
    put(folder, "proposal-000001.json", content)
    (found,) = ProposalReader(folder, Decided()).look()
    assert "proposals/proposal-000001.json: " in found.passed_over
    assert (found.models, found.rollback_to) == ({}, None)


def test_proposal_waits_until_it_has_its_verdict(folder):
    decided = Decided()
    reader = ProposalReader(folder, decided)
    assert reader.look() == ()
    folder.propose(NOW, 1, models={"clf": "clf/2"})
    folder.propose(NOW, 2, models={"emb": "emb/2"})
    first, second = reader.look()
    assert reader.look() == (first, second)
    decided.add(first.candidate_id)
    assert reader.look() == (second,)
    assert ProposalReader(folder, decided).look() == (second,), "the next launch takes it up"


def test_folder_that_was_cleared_may_begin_anew(folder, tmp_path):
    decided = Decided()
    reader = ProposalReader(folder, decided)
    folder.propose(NOW, 1, models={"clf": "clf/2"})
    decided.add(reader.look()[0].candidate_id)
    assert reader.look() == ()
    (tmp_path / "releases/proposals/proposal-000001.json").unlink()
    assert reader.look() == ()
    folder.propose(NOW, 2, models={"clf": "clf/3"})
    assert [one.models for one in reader.look()] == [{"clf": "clf/3"}]


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("after", [1, 3, 5])
def test_folder_that_was_cleared_and_filled_between_two_looks_is_read_anew(
    folder, tmp_path, before, after
):
    decided = Decided()
    reader = ProposalReader(folder, decided)
    for number in range(before):
        folder.propose(NOW, number, models={"clf": f"clf/{number}"})
    decided |= {one.candidate_id for one in reader.look()}
    assert reader.look() == ()
    shutil.rmtree(tmp_path / "releases/proposals")
    for number in range(after):
        folder.propose(NOW, number, models={"emb": f"emb/{number}"})
    assert [one.models["emb"] for one in reader.look()] == [f"emb/{n}" for n in range(after)]


def test_old_proposals_cost_nothing(folder, storage):
    for number in range(1, 301):
        put(folder, f"proposal-{number:06d}.json", '{"sequence_us": 1, "rollback_to": 1}')
    reader = ProposalReader(folder, lambda candidate: True)
    assert reader.look() == ()
    assert storage.asked == 101, "a listing, and the last hundred"
    assert reader.look() == ()
    assert storage.asked == 103, "a listing, and whether the newest is still the same"


def test_of_many_proposals_that_waited_the_last_are_taken_up_and_an_event_tells_of_the_others(
    folder,
):
    other = replace(folder, models=("clf",))
    for number in range(25):
        folder.propose(NOW, number, models={"clf": f"clf/{number}"})
        other.propose(NOW, number, models={"clf": f"clf/{number}"})
    decided = Decided({folder.read("proposal-000001.json").candidate_id})
    reader = ProposalReader(folder, decided)
    found = reader.look()
    assert [one.models.get("clf") for one in found[4:]] == [f"clf/{n}" for n in range(5, 25)]
    assert ["20 newer proposals" in one.passed_over for one in found[:4]] == [True] * 4
    decided |= {one.candidate_id for one in found}
    assert reader.look() == ()


@pytest.mark.parametrize("periodic", [True, False])
def test_watcher_offers_proposals_in_every_mode(folder, storage, periodic, caplog):
    decided = Decided()
    orders = Orders(folder, SOON_SECS)
    watcher = Watcher((), None, decided, interval_secs=60.0, periodic=periodic, orders=orders)
    try:
        assert watcher.offers() == []
        folder.propose(NOW, 1, models={"clf": "clf/2"})
        offered = []
        wait_until(lambda: offered.extend(watcher.offers()) or len(offered) > 1)
        assert offered[0] == offered[1], "again until it has its verdict"
        decided.add(offered[0].candidate_id)
        storage.away = True
        wait_until(lambda: "cannot be read: the storage does not answer" in caplog.text)
        watcher.offers()
        storage.away = False
        wait_until(lambda: "reading proposals in" in caplog.text)
        assert watcher.offers() == []
        assert caplog.text.count("cannot be read") == 1
    finally:
        watcher.close()


# --- at the gate


class Slow(ArtifactCache):
    """Cannot be reached for the first fetch of some model versions."""

    late = ("clf/b",)

    def fetch(self, uri):
        if uri.endswith(self.late):
            self.late = ()
            raise ArtifactError("connection refused")
        return super().fetch(uri)


@pytest.mark.parametrize("late", [False, True])
def test_proposals_are_accepted_in_their_order_although_the_clock_of_the_first_was_ahead(
    tmp_path, late
):
    bench = Bench(Ensemble(tmp_path))
    ensemble = bench.ensemble
    orders = ProposalFolder(ensemble.log.folder, LogFiles(), ("clf", "emb"))
    for name, hours_ahead in (("b", 1), ("a", 0), ("c", 2)):
        ensemble.put("clf", name, ord(name))
        models = {"clf": ensemble.uri("clf", name)}
        orders.propose(NOW, 10**15 + hours_ahead * 3_600_000_000, models=models)
    cache = Slow(tmp_path / "cache", ensemble.store) if late else ensemble.gate.checks.cache
    gate = replace(ensemble.gate, checks=replace(ensemble.gate.checks, cache=cache))
    bench.queue = bench.new_queue(gate, retry_secs=(SOON_SECS,))
    bench.loader.gate.clear()
    for one in ProposalReader(orders, gate.has_verdict).look():
        bench.queue.propose(one)
    bench.loader.gate.set()
    accepted = [(event.outcome, event.release.generation) for event in bench.propose()]
    assert accepted == [("accepted", 2), ("accepted", 3), ("accepted", 4)]
    assert bench.served() == ord("c")
    bench.close()


@pytest.fixture
def ensemble(tmp_path):
    return Ensemble(tmp_path)


def judged(ensemble, gate, candidate):
    manager = ReleaseManager(FakeLoader(ensemble.fake), timing=Timing(retry_secs=()))
    try:
        return gate(ensemble.state, candidate, manager).event
    finally:
        manager.close()


def proposed(ensemble, **what):
    folder = ProposalFolder(ensemble.log.folder, LogFiles(), ("clf", "emb"))
    folder.propose(NOW, 1, **what)
    return folder.read(folder.names()[-1])


def test_verdict_on_a_proposal_holds_for_the_next_build_and_that_on_a_version_does_not(ensemble):
    others = replace(ensemble.gate.checks, call_rows=ensemble.gate.checks.call_rows, trials=None)
    allowed = replace(others.allowed, folders=(*others.allowed.folders, "elsewhere"))
    other = replace(ensemble.gate, checks=replace(others, allowed=allowed))
    watched = ensemble.candidate(clf=99)
    order = proposed(ensemble, models={"clf": ensemble.uri("clf", 99)})
    for candidate in (watched, order):
        assert judged(ensemble, ensemble.gate, candidate).outcome == "rejected"
        assert ensemble.gate.has_verdict(candidate)
    assert not other.has_verdict(watched)
    assert other.has_verdict(order)


def test_any_generation_in_the_log_can_be_returned_to(ensemble):
    state = ensemble.state
    ensemble.log.append(state.history[-1])
    for number in range(2, 31):
        ensemble.put("clf", number)
        release = replace(
            ensemble.launch,
            generation=number,
            versions=(ensemble.version("clf", number), ensemble.version("emb", 1)),
        )
        candidate = ensemble.candidate(number, clf=number)
        found = {"clf": ensemble.version("clf", number)}
        state = state.accept(candidate, release, NOW, found=found)
        ensemble.log.append(state.history[-1])
    assert min(one.release.generation for one in state.history) > 3
    ensemble.state = state
    event = judged(ensemble, ensemble.gate, proposed(ensemble, models={}, rollback_to=3))
    assert (event.outcome, event.release.generation) == ("rolled_back", 31)
    assert event.release.version_of("clf") == ensemble.version("clf", 3)
    newest = json.loads(LogFiles().read(ensemble.log.uri_of(31)))
    assert newest["rollback_returns_to"] == 2
    refused = judged(ensemble, ensemble.gate, proposed(ensemble, models={}, rollback_to=77))
    assert (refused.outcome, "generation 77 is not remembered" in refused.reason) == (
        "rejected",
        True,
    )
