"""Frameworks that people ask for and that are services: why no entry of the file can name one."""

from __future__ import annotations

_SERVED_ELSEWHERE = {
    *("remote", "vertex", "vertexai", "vertex_ai", "openai", "gemini", "anthropic", "bedrock"),
    *("http", "rest", "grpc", "endpoint", "triton", "tfserving", "torchserve", "vllm"),
}


def remote_hint(framework: object) -> str:
    """A clause for an unknown framework that is a service; empty for all others."""
    if not isinstance(framework, str) or framework.lower() not in _SERVED_ELSEWHERE:
        return ""
    return (
        "; models behind a service are not called from here, because nothing could be said of "
        "their versions: Apache Beam's RunInference has handlers for them (such as "
        "VertexAIModelHandlerJSON), to be used before or after this job"
    )
