"""Who swaps: this project's ReleaseManager, and Beam's own RunInference.

Both hold one small ONNX model in sessions of the same options, and a companion beside it. Both take
a while to load version 2 of the two, for the reasons in `swap_loads`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from apache_beam.internal import pickler
from apache_beam.ml.inference.base import ModelMetadata, _RunInferenceDoFn
from apache_beam.ml.inference.onnx_inference import OnnxModelHandlerNumpy

from benchmarks.support.arrays import one_array
from benchmarks.support.small_models import FEATURES
from pipeline.backends import registry
from pipeline.backends.base import LoadContext, Servable
from pipeline.batch.batch import Batch
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.storage.artifact_store import BeamArtifactStore
from pipeline.connectors.vm_sharing import VmSharing
from pipeline.serving.factory import ManagerFactory
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.loader import FrameworkLoader
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import Graph, resolve

ROWS = 64
X = np.random.default_rng(1).normal(size=(ROWS, FEATURES)).astype(np.float32)

Array = np.ndarray[Any, Any]


class Answer(NamedTuple):
    """What came of a batch.

    Attributes:
      first: the probabilities of its first row, which tell the versions apart.
      rows: how many rows have a prediction.
      label: the version that is said to have computed it, 1 or 2; None where nothing is said.
    """

    first: Array
    rows: int
    label: int | None


RunBatch = Callable[[], Answer]


class Contender(Protocol):
    """Something that serves version 1, and is told of version 2."""

    def worker(self) -> RunBatch:
        """What one thread calls again and again; made in that thread."""

    def announce(self) -> None:
        """Version 2 is there."""

    def load_secs(self) -> float:
        """How long its load took, once it serves."""

    def close(self) -> None:
        """Frees everything."""


@dataclass(frozen=True)
class Versions:
    """Versions 1 and 2 of both models.

    Attributes:
      folder: holds ``m/1``, ``m/2``, ``companion/1`` and ``companion/2``.
      companion: its entry in the ensemble file, without `uri`.
      wait_secs: how long the loader waits besides before it loads the companion's version 2.
    """

    folder: Path
    companion: dict[str, Any]
    wait_secs: float

    def path(self, model: str, number: int) -> Path:
        """Where a version of a model is."""
        return self.folder / model / str(number)

    def graph(self) -> Graph:
        """The ensemble of the two."""
        network = {
            "name": "m",
            "framework": "onnx",
            "uri": str(self.path("m", 1)),
            "inputs": {"x": "x"},
            "outputs": {"proba": "proba"},
        }
        companion = {"name": "companion", "uri": str(self.path("companion", 1)), **self.companion}
        record = {"fields": {"x": {"dtype": "float32", "shape": [FEATURES]}}}
        spec = {"name": "swap", "record": record, "models": [network, companion]}
        return resolve(EnsembleSpec.model_validate(spec))

    def release(self, number: int) -> Release:
        """Both models in one version."""
        paths = {model: self.path(model, number) for model in ("companion", "m")}
        return Release(
            number,
            tuple(ModelVersion(name, str(path), digest_of(path)) for name, path in paths.items()),
        )


@dataclass(frozen=True)
class _SlowLoader(FrameworkLoader):
    slow_uri: str = ""
    wait_secs: float = 0.0

    def __call__(self, version: ModelVersion) -> Servable:
        if version.uri == self.slow_uri:
            time.sleep(self.wait_secs)
        return super().__call__(version)


class Ours:
    """This project: batches take the release that is active, a thread of its own loads.

    Args:
      versions: all there are.
      shared: the companion is held by a process for the whole machine, which also loads it.
    """

    def __init__(self, versions: Versions, shared: bool = False) -> None:
        if shared:
            versions = replace(versions, companion={**versions.companion, "model_sharing": "vm"})
        graph = versions.graph()
        self._spec = next(model for model in graph.models if model.name == "m")
        self._releases = [versions.release(number) for number in (1, 2)]
        loader = _SlowLoader(
            models=graph.spec.models,
            cache=ArtifactCache(versions.folder / "cache", BeamArtifactStore()),
            device="cpu",
            intra_op_threads=1,
            sharing=VmSharing(uuid.uuid4().hex),
            slow_uri=str(versions.path("companion", 2)),
            wait_secs=versions.wait_secs,
        )
        self._manager = ManagerFactory(graph, loader)()
        self._rows = Batch(ids=tuple(range(ROWS)), payloads=(b"",) * ROWS, columns={"x": X})

    def worker(self) -> RunBatch:
        step = ModelStep(self._spec)

        def run() -> Answer:
            release = self._manager.wait_active(self._releases[0])
            with self._manager.use(release, "m") as servable:
                batch = step.run(self._rows.with_release(release), servable)
            assert batch.release is not None
            return Answer(
                one_array(batch.columns["proba"])[0], len(batch), batch.release.generation
            )

        return run

    def announce(self) -> None:
        self._manager.aspire(self._releases[1])

    def load_secs(self) -> float:
        return sum(self._manager.drain_activations()[-1].load_secs.values())

    def close(self) -> None:
        self._manager.close()


class SlowHandler(OnnxModelHandlerNumpy):  # type: ignore[misc]  # Beam's classes are untyped
    """Beam's ONNX handler, able to change its model; Beam's own ignores that silently.

    It loads the companion of the same version as well, by this project's backend, and keeps it.

    Args:
      versions: all there are.
    """

    loads: ClassVar[dict[str, float]] = {}
    """Path -> how long its last load in this process took."""

    def __init__(self, versions: Versions) -> None:
        self._model_uri = str(versions.path("m", 1) / "model.onnx")
        super().__init__(self._model_uri, providers=["CPUExecutionProvider"])
        self._versions = versions

    def update_model_path(self, model_path: str | None = None) -> None:
        self._model_uri = model_path or self._model_uri

    def load_model(self) -> Any:
        import onnxruntime

        started = time.monotonic()
        number = int(Path(self._model_uri).parent.name)
        if number == 2:
            time.sleep(self._versions.wait_secs)
        companion = next(m for m in self._versions.graph().models if m.name == "companion")
        path = self._versions.path("companion", number)
        self.companion = registry.backend(companion.framework).load(
            path, companion, LoadContext("cpu", 1)
        )
        options = onnxruntime.SessionOptions()  # those of this project's backend
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            self._model_uri, options, providers=["CPUExecutionProvider"]
        )
        self.loads[self._model_uri] = time.monotonic() - started
        return session


class Stock:
    """Beam: a copy of RunInference's own DoFn in each thread, its model shared by all.

    That is what a worker runs: it unpickles the DoFn for each of its threads. The side input, from
    which a streaming job learns of a new model, is the third argument of `process`.
    """

    def __init__(self, versions: Versions) -> None:
        one, self._two = (str(versions.path("m", n) / "model.onnx") for n in (1, 2))
        handler = SlowHandler(versions)
        self._pickled = pickler.dumps(
            _RunInferenceDoFn(handler, time, None, load_model_at_runtime=True)
        )
        self._side_input = ModelMetadata(model_id=one, model_name="1")
        self._rows = list(X)

    def worker(self) -> RunBatch:
        dofn = pickler.loads(self._pickled)
        dofn.setup()

        def run() -> Answer:
            results = list(dofn.process(self._rows, None, self._side_input))
            return Answer(results[0].inference, len(results), None)

        return run

    def announce(self) -> None:
        self._side_input = ModelMetadata(model_id=self._two, model_name="2")

    def load_secs(self) -> float:
        return SlowHandler.loads[self._two]

    def close(self) -> None:
        """Nothing: the DoFns hold the model."""
