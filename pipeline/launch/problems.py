"""Problems of models as texts, and which model a text is about."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import EnsembleError, ModelError


def model_of(problem: str, models: Iterable[str]) -> str | None:
    """The model that a problem of a rehearsal is about; None where it is about the graph."""
    return next((model for model in models if problem.startswith(f"model '{model}'")), None)


def lines_of(error: EnsembleError, model: str) -> list[str]:
    """The problems that an error tells of, each beginning with the model."""
    about = f"model '{model}'"
    return [text if text.startswith(about) else f"{about}: {text}" for text in texts_of(error)]


def texts_of(error: EnsembleError) -> list[str]:
    """The problems that an error tells of."""
    return list(error.problems) if isinstance(error, ModelError) else [str(error)]
