"""Candidates that name modules of a hub: the gate checks them as it checks files."""

import json

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.hub_cache import HubCache
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate
from pipeline.releases.checks import GateChecks
from pipeline.releases.gate import Gate, utc_now
from pipeline.releases.queue import CandidateQueue
from pipeline.releases.state import initial_state
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support.hub_server import PAGE, Hub, archive, embedded, save_embedding

WORDS = "/google/words/"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Versions 1 and 2 of the embedding; the second brings an example, which it meets."""
    folder = tmp_path_factory.mktemp("hub")
    versions = {n: save_embedding(folder / str(n), scale=float(n)) for n in (1, 2)}
    vector = embedded("good film", 2.0).tolist()
    example = {"inputs": {"sentences": "good film"}, "outputs": {"output_0": vector}}
    golden = {"golden.jsonl": json.dumps(example).encode()}
    return {1: archive(versions[1]), 2: archive(versions[2], **golden)}


class Bench:
    """A job that serves version 1 of a hub's module, and its gate."""

    def __init__(self, hub, packed, folder):
        self.hub = hub
        url = hub.put(f"{WORDS}1", packed[1])
        spec = {
            "name": "texts",
            "record": {"fields": {"text": {"dtype": "string"}}},
            "models": [
                {
                    "name": "words",
                    "framework": "tensorflow",
                    "uri": url,
                    "inputs": {"sentences": "text"},
                    "outputs": {"output_0": "vector"},
                }
            ],
        }
        graph = resolve(EnsembleSpec.model_validate(spec))
        store = BeamArtifactStore()
        cache = ArtifactCache(folder / "models", store, HubCache(store, str(folder / "modules")))
        loader = FrameworkLoader(graph.models, cache, "cpu", intra_op_threads=1)
        self.launch = Release(1, (ModelVersion("words", url, cache.fetch(url).digest),))
        self.manager = ManagerFactory(graph, loader)()
        self.manager.ensure(self.launch)
        gate = Gate(GateChecks(graph, cache, store, AllowedUris.beside([url])))
        self.queue = CandidateQueue(
            gate, self.manager, initial_state(self.launch, utc_now()), retry_secs=()
        )

    def propose(self, url):
        """The verdict on a candidate."""
        self.queue.propose(Candidate(url, "test", 0, models={"words": url}))
        assert self.queue.wait_idle(30)
        (event,) = self.queue.drain_events()
        return event

    def vector(self, release):
        """What a release makes of "bad film"."""
        texts = np.array(["bad film"], dtype=object)
        with self.manager.use(release, "words") as servable:
            return servable.predict({"sentences": texts})["output_0"][0]


@pytest.fixture
def bench(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    hub = Hub()
    made = Bench(hub, packed, tmp_path)
    yield made
    made.queue.close()
    made.manager.close()
    hub.close()


def test_next_version_of_the_hub_is_accepted_under_its_url(bench, packed):
    url = bench.hub.put(f"{WORDS}2", packed[2])
    event = bench.propose(url)
    assert (event.outcome, event.reason) == ("accepted", None)
    (version,) = event.release.versions
    assert (version.uri, version.label) == (url, "2")
    assert event.details["examples"] == 1
    np.testing.assert_allclose(bench.vector(event.release), embedded("bad film", 2.0))
    assert bench.hub.requests == {f"{WORDS}1": 1, f"{WORDS}2": 1}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([PAGE], "found a web page"),
        ([], "the hub answers HTTP 404 (Not Found)"),
        ([archive(None, **{"tfhub_module.pb": b"\x08\x03"})], "module of the old TF1 Hub format"),
        ([archive(None, **{"saved_model.pb": b"half"})], "cannot be loaded as a SavedModel"),
    ],
    ids=["page", "missing", "old format", "broken"],
)
def test_module_that_is_none_is_rejected_with_model_and_url(bench, answers, expected):
    url = bench.hub.base + f"{WORDS}3"
    if answers:
        bench.hub.put(f"{WORDS}3", *answers)
    event = bench.propose(url)
    assert event.outcome == "rejected"
    for part in ("model 'words'", url, expected):
        assert part in event.reason
    assert bench.manager.active() == bench.launch
    np.testing.assert_allclose(bench.vector(bench.launch), embedded("bad film"))


def test_module_of_somebody_else_is_rejected_without_asking_the_hub(bench, packed):
    url = bench.hub.put("/somebody/words/9", packed[2])
    event = bench.propose(url)
    assert event.outcome == "rejected"
    assert f"outside the folders that models may come from ({bench.hub.base}/google" in event.reason
    assert "/somebody/words/9" not in bench.hub.requests
