"""Who swaps: this project's ReleaseManager, and Beam's own RunInference.

Both hold one small ONNX model in sessions of the same options, and take a while to load its second
version: a wait in the loader, as for slow storage, that leaves the interpreter to other threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import repository  # noqa: F401  # before pipeline
from apache_beam.internal import pickler
from apache_beam.ml.inference.base import ModelMetadata, _RunInferenceDoFn
from apache_beam.ml.inference.onnx_inference import OnnxModelHandlerNumpy
from small_models import FEATURES

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.onnx import OnnxBackend
from pipeline.core.batch import Batch
from pipeline.core.model_spec import OnnxModel
from pipeline.core.release import ModelVersion, Release
from pipeline.serving.artifacts import digest_of
from pipeline.serving.model_step import ModelStep
from pipeline.serving.release_manager import ReleaseManager

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


class Ours:
    """This project: batches take the release that is active, a thread of its own loads.

    Args:
      paths: the files of versions 1 and 2.
      wait_secs: how long the load of the second waits.
    """

    def __init__(self, paths: tuple[Path, Path], wait_secs: float) -> None:
        self._spec = OnnxModel.model_validate(
            {
                "name": "m",
                "framework": "onnx",
                "uri": str(paths[0]),
                "inputs": {"x": "x"},
                "outputs": {"proba": "proba"},
            }
        )
        self._releases = [
            Release(number, (ModelVersion("m", str(path), digest_of(path)),))
            for number, path in enumerate(paths, start=1)
        ]
        self._wait_secs = wait_secs
        self._manager = ReleaseManager(self._load)
        self._rows = Batch(ids=tuple(range(ROWS)), payloads=(b"",) * ROWS, columns={"x": X})

    def _load(self, version: ModelVersion) -> Servable:
        if version in self._releases[1].versions:
            time.sleep(self._wait_secs)
        return OnnxBackend().load(Path(version.uri), self._spec, LoadContext("cpu", 1))

    def worker(self) -> RunBatch:
        step = ModelStep(self._spec)

        def run() -> Answer:
            release = self._manager.wait_active(self._releases[0])
            with self._manager.use(release, "m") as servable:
                batch = step.run(self._rows.with_release(release), servable)
            assert batch.release is not None
            return Answer(batch.columns["proba"][0], len(batch), batch.release.generation)

        return run

    def announce(self) -> None:
        self._manager.aspire(self._releases[1])

    def load_secs(self) -> float:
        return self._manager.drain_activations()[-1].load_secs["m"]

    def close(self) -> None:
        self._manager.close()


class SlowHandler(OnnxModelHandlerNumpy):  # type: ignore[misc]  # Beam's classes are untyped
    """Beam's ONNX handler, able to change its model; Beam's own ignores that silently.

    Args:
      path: of the model that it loads first.
      slow_path: of the model whose load waits.
      wait_secs: for how long.
    """

    loads: ClassVar[dict[str, float]] = {}
    """Path -> how long its last load in this process took."""

    def __init__(self, path: str, slow_path: str, wait_secs: float) -> None:
        super().__init__(path, providers=["CPUExecutionProvider"])
        self._slow_path = slow_path
        self._wait_secs = wait_secs

    def update_model_path(self, model_path: str | None = None) -> None:
        self._model_uri = model_path or self._model_uri

    def load_model(self) -> Any:
        import onnxruntime

        started = time.monotonic()
        if self._model_uri == self._slow_path:
            time.sleep(self._wait_secs)
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

    Args:
      paths: the files of versions 1 and 2.
      wait_secs: how long the load of the second waits.
    """

    def __init__(self, paths: tuple[Path, Path], wait_secs: float) -> None:
        one, self._two = map(str, paths)
        handler = SlowHandler(one, self._two, wait_secs)
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
