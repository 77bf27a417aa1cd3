"""Framework name -> backend, imported when it is first asked for."""

from __future__ import annotations

import importlib
from functools import cache

from pipeline.backends.base import Backend
from pipeline.errors import SpecError
from pipeline.spec.remote_frameworks import remote_hint

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
            + remote_hint(framework)
        )
    module, name = _BACKENDS[framework]
    found: Backend = getattr(importlib.import_module(module), name)()
    return found
