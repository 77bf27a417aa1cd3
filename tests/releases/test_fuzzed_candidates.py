"""Damaged files of every native format at the gate of a stream: each has a verdict, none harms.

``make fuzz`` tries more of them: FUZZED_FILES of each format.
"""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate
from pipeline.releases.checks import GateChecks
from pipeline.releases.gate import Gate, utc_now
from pipeline.releases.queue import CandidateQueue
from pipeline.releases.state import initial_state
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.trial.apart import TrialLimits
from pipeline.serving.trial.trials import Trials
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support import models

FILES = int(os.environ.get("FUZZED_FILES", "4"))
X = np.ones((2, 4), np.float32)

FORMATS = {
    "xgboost-ubj": ("xgboost", models.xgboost_ubj, "X", "predict"),
    "xgboost-json": ("xgboost", models.xgboost_json, "X", "predict"),
    "catboost": ("catboost", models.catboost_cbm, "X", "predict"),
    "lightgbm": ("lightgbm", models.lightgbm_text, "X", "predict"),
    "torchscript": ("torch", models.torchscript, "input", "output_0"),
    "onnx": ("onnx", models.onnx_file, "x", "y"),
}


def cut(data, dice):
    return data[: dice.randrange(len(data))]


def flipped(data, dice):
    damaged = bytearray(data)
    for _ in range(dice.choice([1, 1, 8, 64])):
        damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def blanked(data, dice):
    start = dice.randrange(len(data))
    length = min(dice.randrange(1, 64), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def spliced(data, dice):
    a, b = sorted(dice.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:]


def with_other_digits(data, dice):
    """Text formats: numbers that are larger, negative or none."""
    places = [i for i, byte in enumerate(data) if chr(byte).isdigit()] or [0]
    damaged = bytearray(data)
    for _ in range(3):
        damaged[dice.choice(places)] = ord(dice.choice("0987654321-e."))
    return bytes(damaged)


DAMAGES = (cut, flipped, blanked, spliced, with_other_digits)


class Stream:
    """A stream of one model, whose first version is good."""

    def __init__(self, folder: Path, kind: str):
        framework, make, tensor, self.output = FORMATS[kind]
        self.tensor, self.versions = tensor, folder / "net"
        made = make(folder / "made")
        good = made if made.is_file() else next(p for p in made.rglob("*") if p.is_file())
        self.name, self.good = good.name, good.read_bytes()
        entry = {
            "name": "net",
            "framework": framework,
            "uri": str(self.put(1, self.good)),
            "inputs": {tensor: "x"},
            "outputs": {self.output: "y"},
        }
        record = {"fields": {"x": {"dtype": "float32", "shape": [4]}}}
        spec = {"name": "e", "record": record, "models": [entry]}
        graph = resolve(EnsembleSpec.model_validate(spec))
        store = BeamArtifactStore()
        cache = ArtifactCache(folder / "cache", store)
        loader = FrameworkLoader(graph.models, cache, "cpu", intra_op_threads=1)
        trials = Trials(graph, loader, limits=TrialLimits(20, 3000))
        checks = GateChecks(graph, cache, store, AllowedUris((str(folder),)), trials=trials)
        self.manager = ManagerFactory(graph, loader)()
        digest = cache.fetch(graph.models[0].uri).digest
        first = Release(1, (ModelVersion("net", graph.models[0].uri, digest),))
        self.manager.ensure(first)
        state = initial_state(first, utc_now())
        self.queue = CandidateQueue(Gate(checks), self.manager, state, retry_secs=())

    def put(self, number: int, content: bytes) -> Path:
        path = self.versions / str(number) / self.name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return path.parent

    def verdict(self, number: int, content: bytes):
        uri = str(self.put(number, content))
        self.queue.propose(Candidate(f"version {number}", "test", number, models={"net": uri}))
        assert self.queue.wait_idle(280)
        (event,) = self.queue.drain_events()
        return event

    def predict(self):
        with self.manager.use(self.manager.active(), "net") as servable:
            return np.asarray(servable.predict({self.tensor: X})[self.output])

    def close(self):
        self.queue.close()
        self.manager.close()
        shutil.rmtree(self.versions)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_file_has_its_verdict_and_what_serves_goes_on(kind, tmp_path):
    stream = Stream(tmp_path, kind)
    expected, dice = stream.predict(), random.Random(f"{kind} {FILES}")
    for number in range(2, FILES + 2):
        damage = DAMAGES[number % len(DAMAGES)]
        event = stream.verdict(number, damage(stream.good, dice))
        assert event.outcome in ("accepted", "rejected", "ignored"), event
        assert event.reason or event.release
        if event.release is not None:  # it does no harm, and is another model by now
            assert stream.manager.wait_for(event.release.generation, 60)
        assert np.isfinite(stream.predict()).all()
    last = stream.verdict(FILES + 2, stream.good)
    assert last.release is not None or "nothing changes" in last.reason
    if last.release is not None:
        assert stream.manager.wait_for(last.release.generation, 60)
    np.testing.assert_array_equal(stream.predict(), expected)
    stream.close()
