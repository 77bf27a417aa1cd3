"""From a model version to its servable: fetch the files, hand them to the framework."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass

from pipeline.backends import registry
from pipeline.backends.base import LoadContext, Servable
from pipeline.core.model_spec import ModelSpec
from pipeline.core.release import ModelVersion
from pipeline.serving.artifacts import ArtifactCache

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameworkLoader:
    """Loads versions of the models of one ensemble.

    Attributes:
      models: the entries of the ensemble file.
      cache: where artifacts are fetched to.
      device: for models that name none themselves.
      intra_op_threads: CPU threads that one call may use; 0 means one for each core of the machine
        that loads, which need not be this one.
      cpu_only: run on the CPU whatever device is asked for: checks, on a machine without GPU, of
        models that will have one where they serve.
    """

    models: tuple[ModelSpec, ...]
    cache: ArtifactCache
    device: str
    intra_op_threads: int
    cpu_only: bool = False

    def __call__(self, version: ModelVersion) -> Servable:
        """Loads one version.

        Raises:
          ArtifactError: its files are missing, changed, untrusted or broken.
          DeviceError: the device that it must run on is not there.
        """
        spec = next(model for model in self.models if model.name == version.model)
        context = LoadContext(
            "cpu" if self.cpu_only else spec.device or self.device,
            self.intra_op_threads or os.cpu_count() or 1,
        )
        started = time.monotonic()
        path = self.cache.fetch_version(version)
        servable = registry.backend(spec.framework).load(path, spec, context)
        _LOGGER.info(
            "loaded model '%s' version %s on %s in %.2f s",
            version.model,
            version.label,
            servable.device,
            time.monotonic() - started,
        )
        return servable
