"""A gate before a small ensemble whose model versions are files in a folder.

The models are *clf* and *emb*, both ``x`` float32 [4] -> ``y`` float32 [3].
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import Servable
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.storage.log_files import LogFiles
from pipeline.releases.allowed_uris import AllowedUris
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.releases.checks import GateChecks
from pipeline.releases.gate import Gate, utc_now
from pipeline.releases.log import ReleaseLog
from pipeline.releases.queue import CandidateQueue
from pipeline.releases.state import GateState, initial_state
from pipeline.serving.activation import Timing
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache, ArtifactStore
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.rehearsal.rehearsal import rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.testing import FakeLoader, FakeServable
from tests.support import models

NAMES = ("clf", "emb")
X = {"x": np.ones((1, 4), np.float32)}


class Ensemble:
    """Fake models, which answer with the number in their file. All lies below `folder`.

    Version 1 of each model is what a job is launched with.
    """

    def __init__(self, folder: Path, store: ArtifactStore | None = None) -> None:
        self.folder = folder
        self.store = store or BeamArtifactStore()
        self.names = itertools.count(1)
        for model in NAMES:
            self.put(model, 1)
        self.graph = resolve(EnsembleSpec.model_validate(self.spec()))
        uris = [model.uri for model in self.graph.models]
        self.launch = Release(1, tuple(self.version(model, 1) for model in NAMES))
        cache = ArtifactCache(folder / "cache", self.store)
        self.log = ReleaseLog(str(folder / "releases"), LogFiles())
        self.gate = Gate(
            GateChecks(self.graph, cache, self.store, AllowedUris.beside(uris)), self.log
        )
        self.managers = ManagerFactory(
            self.graph, FrameworkLoader(self.graph.models, cache, "cpu", intra_op_threads=1)
        )
        self.state = initial_state(self.launch, utc_now())

    def path(self, model: str, number: int) -> Path:
        return self.folder / model / str(number)

    def uri(self, model: str, number: int) -> str:
        return str(self.path(model, number))

    def version(self, model: str, number: int) -> ModelVersion:
        return ModelVersion(model, self.uri(model, number), digest_of(self.path(model, number)))

    def put(self, model: str, number: int, answer: float | None = None) -> None:
        """Writes a version, which answers with its number or another one."""
        path = self.path(model, number)
        path.mkdir(parents=True, exist_ok=True)
        (path / "number").write_text(str(number if answer is None else answer))

    def fake(self, version: ModelVersion) -> Servable:
        """The servable of a fake model."""
        number = float((Path(version.uri) / "number").read_text())
        return FakeServable(
            lambda inputs: {"y": np.full((len(inputs["x"]), 3), number, np.float32)}
        )

    def candidate(self, sequence_us: int = 0, name: str | None = None, **numbers: int) -> Candidate:
        """Proposes versions of the models by their numbers."""
        uris = {model: self.uri(model, number) for model, number in numbers.items()}
        name = name or f"candidate {next(self.names)}"
        return Candidate(name, "test", sequence_us, models=uris)

    def rollback(self, to: int = 0, name: str | None = None) -> Candidate:
        name = name or f"rollback {next(self.names)}"
        return Candidate(name, "test", 0, rollback_to=to)

    def spec(self) -> dict[str, Any]:
        return {
            "name": "e",
            "record": {"fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [
                {
                    "name": model,
                    "framework": "onnx",
                    "uri": self.uri(model, 1),
                    "inputs": {"x": "x"},
                    "outputs": {"y": f"{model}_y"},
                }
                for model in NAMES
            ],
            "combine": [{"column": "y", "op": "mean", "of": [f"{model}_y" for model in NAMES]}],
        }


class OnnxEnsemble(Ensemble):
    """The same with real ONNX graphs."""

    def put(self, model: str, number: int, answer: float | None = None) -> None:
        scale = float(number if answer is None else answer)
        models.onnx_file(self.path(model, number), scale=scale)


def until(manager: ReleaseManager, generation: int) -> None:
    """Waits until that generation is active."""
    assert manager.wait_for(generation, 10)
    active = manager.active()
    assert active is not None
    assert active.generation == generation


class Bench:
    """A gate, the models behind it, and what it said."""

    def __init__(
        self,
        ensemble: Ensemble,
        load: Callable[[ModelVersion], Servable] | None = None,
        **manager_options: Any,
    ) -> None:
        self.ensemble = ensemble
        self.loader = FakeLoader(load or ensemble.fake)
        self.prepared: list[int] = []
        self.manager = ReleaseManager(
            self.loader,
            prepare=self._prepare,
            timing=Timing(retry_secs=(), grace_secs=0.0),
            **manager_options,
        )
        self.manager.ensure(ensemble.state.current)
        self.loader.loads.clear()
        self._queues: list[CandidateQueue] = []
        self.queue = self.new_queue()

    def _prepare(self, release: Release, manager: ReleaseManager) -> None:
        self.prepared.append(release.generation)
        rehearse(self.ensemble.graph, release, manager)

    def new_queue(
        self, gate: Gate | None = None, state: GateState | None = None, **options: Any
    ) -> CandidateQueue:
        ensemble = self.ensemble
        queue = CandidateQueue(
            gate or ensemble.gate, self.manager, state or ensemble.state, **options
        )
        self._queues.append(queue)
        return queue

    def propose(
        self, *candidates: Candidate, queue: CandidateQueue | None = None
    ) -> list[ReleaseEvent]:
        """The events, once all candidates have their verdicts."""
        queue = queue or self.queue
        for candidate in candidates:
            queue.propose(candidate)
        assert queue.wait_idle(10)
        return queue.drain_events()

    def served(self, model: str = "clf") -> float:
        """What the active release answers, once the gate's last word is in force."""
        until(self.manager, self.queue.state.current.generation)
        with self.manager.use(self.queue.state.current, model) as servable:
            answer = servable.predict(X)["y"]
        assert isinstance(answer, np.ndarray)
        return float(answer[0, 0])

    def loads(self, model: str = "clf") -> list[str]:
        return [v.uri.rpartition("/")[2] for v in self.loader.loads if v.model == model]

    def close(self) -> None:
        self.loader.gate.set()
        for queue in self._queues:
            queue.close()
        self.manager.close()


def outcomes(events: Iterable[ReleaseEvent]) -> list[str]:
    return [event.outcome for event in events]


def manifest(bench: Bench, text: str, name: str = "r", sequence_us: int = 0) -> Candidate:
    path = bench.ensemble.folder / f"{name}.json"
    path.write_text(text)
    return Candidate(name, "test", sequence_us, manifest_uri=str(path))
