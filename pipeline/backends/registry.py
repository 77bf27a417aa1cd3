"""Framework name -> backend, imported when it is first asked for; and how a model is loaded."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from pipeline.backends.base import Backend, LoadContext, Servable
from pipeline.backends.mlflow import folder, mlmodel, signature, versions
from pipeline.errors import SpecError
from pipeline.readable import logger
from pipeline.spec.model import ModelSpec, PythonModel
from pipeline.spec.no_frameworks import hint

_LOGGER = logger(__name__)
_BACKENDS = {
    "sklearn": ("pipeline.backends.sklearn.backend", "SklearnBackend"),
    "onnx": ("pipeline.backends.onnx.backend", "OnnxBackend"),
    "torch": ("pipeline.backends.torch.backend", "TorchBackend"),
    "tensorflow": ("pipeline.backends.tensorflow.backend", "TensorflowBackend"),
    "xgboost": ("pipeline.backends.xgboost", "XgboostBackend"),
    "lightgbm": ("pipeline.backends.lightgbm", "LightgbmBackend"),
    "catboost": ("pipeline.backends.catboost", "CatboostBackend"),
    "transformers": ("pipeline.backends.transformers.backend", "TransformersBackend"),
    "python": ("pipeline.backends.python", "PythonBackend"),
}

FRAMEWORKS = tuple(_BACKENDS)
"""Names under which an ensemble file knows the frameworks."""


@cache
def backend(framework: str) -> Backend:
    """The backend of a framework. The framework itself is imported by the first `load`.

    Raises:
      SpecError: no such framework.
    """
    if framework not in _BACKENDS:
        raise SpecError(
            f"unknown framework '{framework}'; it is one of {', '.join(FRAMEWORKS)}"
            + hint(framework)
        )
    module, name = _BACKENDS[framework]
    found: Backend = getattr(importlib.import_module(module), name)()
    return found


def load(path: Path, spec: ModelSpec, context: LoadContext) -> Servable:
    """Loads a local file or folder by the framework of its entry, also one that MLflow wrote.

    Of an MLflow model folder, the part that the framework reads is loaded, and what its signature
    says of the inputs is added to what the model says. That other versions of packages saved it is
    logged.

    Raises:
      SpecError: no such framework.
      LoadError: an MLflow folder without a flavour of this framework; else see Backend.
    """
    loads = backend(spec.framework).load
    found = None if isinstance(spec, PythonModel) else mlmodel.read(path)
    if found is None:
        return loads(path, spec, context)
    part = folder.part_for(path, found, spec.framework)
    servable = loads(part, signature.bound_in_order(path, spec, found.inputs), context)
    tensors = spec.framework == "torch"
    servable.signature = signature.completed(servable.signature, found.inputs, spec, dtypes=tensors)
    if other := versions.differing(path, found.python_version):
        _LOGGER.warning(
            "model '%s' was saved by MLflow with %s; results may differ", spec.name, other
        )
    return servable
