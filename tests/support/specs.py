"""Entries of an ensemble file as objects, and their models loaded as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.backends import registry
from pipeline.backends.base import LoadContext, Servable
from pipeline.spec.model import AnyModel, ModelSpec


def model_spec(**entry: Any) -> ModelSpec:
    entry = {"name": "model", "uri": "models/1", **entry}
    spec: ModelSpec = TypeAdapter(AnyModel).validate_python(entry)
    return spec


def load(path: Path, spec: ModelSpec, *, device: str = "cpu", threads: int = 1) -> Servable:
    return registry.load(path, spec, LoadContext(device, threads))
