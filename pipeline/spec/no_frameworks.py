"""Names that people give as `framework` and that are none: what to write, or do, instead."""

from __future__ import annotations

_SERVED_ELSEWHERE = {
    *("remote", "vertex", "vertexai", "vertex_ai", "openai", "gemini", "anthropic", "bedrock"),
    *("http", "rest", "grpc", "endpoint", "triton", "tfserving", "torchserve", "vllm"),
}
_MLFLOW = {"mlflow", "pyfunc", "python_function", "mlflow.pyfunc"}
_SERVICE = (
    "; models behind a service are not called from here, because nothing could be said of their "
    "versions: Apache Beam's RunInference has handlers for them (such as VertexAIModelHandlerJSON),"
    " to be used before or after this job"
)
_FOLDER = (
    "; an MLflow model folder is a `uri` of the framework that computes it, which its MLmodel "
    "names under `flavors` and `python -m pipeline init FOLDER` writes; for one with "
    "python_function only, write a class for `framework: python`"
)


def hint(framework: object) -> str:
    """A clause for an unknown framework that people ask for; empty for all others."""
    name = framework.lower() if isinstance(framework, str) else ""
    if name in _MLFLOW:
        return _FOLDER
    return _SERVICE if name in _SERVED_ELSEWHERE else ""
