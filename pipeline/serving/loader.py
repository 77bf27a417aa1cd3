"""From a model version to its servable: fetch the files, hand them to the framework."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from pipeline.backends.base import LoadContext, Servable
from pipeline.batch.release import ModelVersion
from pipeline.errors import ArtifactChangedError, ArtifactError
from pipeline.readable import logger
from pipeline.serving.cores import usable_cores
from pipeline.serving.files.artifacts import ArtifactCache, Fetched
from pipeline.serving.files.own_folder import own_folder
from pipeline.serving.opening import Opening, Sharing, start, told_by_uri
from pipeline.spec.model import ModelSpec, TransformersModel
from pipeline.spec.row_limits import DEFAULT_ROWS

_LOGGER = logger(__name__)


@dataclass(frozen=True)
class FrameworkLoader:
    """Loads versions of the models of one ensemble.

    Attributes:
      models: the entries of the ensemble file.
      cache: where artifacts are fetched to.
      device: for models that name none themselves.
      intra_op_threads: CPU threads that one call may use; 0 means one for each core that is usable
        where the model is loaded, which need not be here.
      cpu_only: run on the CPU whatever device is asked for: checks, on a machine without GPU, of
        models that will have one where they serve.
      call_rows: most rows of a call, where a model has no `max_batch_size` of its own.
      shared: several threads of a process call a model at the same time: their calls are merged.
      sharing: where models with ``model_sharing: vm`` are held; without it, they are loaded here.
    """

    models: tuple[ModelSpec, ...]
    cache: ArtifactCache
    device: str
    intra_op_threads: int
    cpu_only: bool = False
    call_rows: int = DEFAULT_ROWS
    shared: bool = False
    sharing: Sharing | None = None

    def start_frameworks(self) -> None:
        """Imports what the models of this process need, before any is loaded.

        Arrow, which reads the columns of a block side by side, gets as many threads as a model.
        """
        pa.set_cpu_count(self.intra_op_threads or usable_cores())
        start(model.framework for model in self.models if self._sharing(model) is None)

    def __call__(self, version: ModelVersion) -> Servable:
        """Fetches and loads one version. Raises what `open` does."""
        return self.open(version, self.cache.fetch_version)

    def open(self, version: ModelVersion, fetch: Callable[[ModelVersion], Fetched]) -> Servable:
        """Loads one version.

        Args:
          version: which.
          fetch: brings its files here. A copy must stay as long as the servable is used.

        Raises:
          ArtifactError: its files are missing, untrusted or broken, or were changed meanwhile.
          DeviceError: the device that it must run on is not there.
        """
        spec = self._spec(version)
        if problem := spec.version_problem(version.uri):
            raise ArtifactChangedError(f"model '{version.model}': {problem}")
        sharing = self._sharing(spec)
        started = time.monotonic()
        fetched = fetch(version)
        opening = self.opening(version, fetched)
        with told_by_uri(fetched.path, version.uri if fetched.is_copy else None):
            servable = opening() if sharing is None else sharing(version, opening)
        try:
            fetched.check_unchanged()
        except ArtifactError:
            servable.close()
            raise
        _LOGGER.info(
            "loaded model '%s' version %s on %s in %.2f s%s",
            version.model,
            version.label,
            servable.device,
            time.monotonic() - started,
            "" if sharing is None else ", shared by the processes of this machine",
        )
        return servable

    def opening(self, version: ModelVersion, fetched: Fetched) -> Opening:
        """What opens a version, from its files."""
        spec = self._spec(version)
        return Opening(fetched.path, spec, self._context(spec, self._sharing(spec)))

    def _spec(self, version: ModelVersion) -> ModelSpec:
        return next(model for model in self.models if model.name == version.model)

    def _sharing(self, spec: ModelSpec) -> Sharing | None:
        return self.sharing if spec.model_sharing == "vm" else None

    def _context(self, spec: ModelSpec, sharing: Sharing | None) -> LoadContext:
        """What the model is granted: all cores where all processes wait for the one copy."""
        return LoadContext(
            "cpu" if self.cpu_only else spec.device or self.device,
            (0 if sharing else self.intra_op_threads) or usable_cores(),
            self.shared or sharing is not None,
            spec.max_batch_size or self.call_rows,
            own_folder("programs")
            if isinstance(spec, TransformersModel) and spec.compile
            else None,
        )
