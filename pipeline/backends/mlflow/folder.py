"""An MLflow model folder as a model of the framework whose flavour it has.

The entry names the framework (`framework: sklearn`), and with it everything that is checked before
a file is read: trust, precision, missing values. The flavour of that framework says which file of
the folder its backend loads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline.backends.mlflow.mlmodel import MLmodel, flavours_in
from pipeline.errors import LoadError

_TABLES = ("xgboost", "lightgbm", "catboost")
_FRAMEWORKS = {
    "sklearn": ("sklearn", "pickled_model", "model.pkl"),
    "xgboost": ("xgboost", "data", "model.xgb"),
    "lightgbm": ("lightgbm", "data", "model.lgb"),
    "catboost": ("catboost", "data", "model.cb"),
    "onnx": ("onnx", "data", "model.onnx"),
    "pytorch": ("torch", "model_data", "data"),
    "tensorflow": ("tensorflow", "data", "data"),
    "keras": ("tensorflow", "data", "data"),
}
"""Flavour -> the framework that reads it, its key that names the file or folder, the usual name."""
_ESTIMATORS = (".pkl", ".pickle", ".joblib", ".skops")
_FLAVOURS_BLOCK = re.compile(rb"^flavors:.*?(?=^[^\s#-]|\Z)", re.MULTILINE | re.DOTALL)

READABLE = tuple(_FRAMEWORKS)
"""The flavours that a framework here reads."""


@dataclass(frozen=True)
class Part:
    """What a framework reads of a folder.

    Attributes:
      framework: which reads it.
      relative: path of the file or folder.
    """

    framework: str
    relative: str


def framework_of(head: bytes) -> str | None:
    """The framework that reads a folder, by the first bytes of its MLmodel; None if none does."""
    block = _FLAVOURS_BLOCK.search(head)
    try:
        data = yaml.safe_load(block[0]) if block else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    parts = _parts(flavours_in(data))
    return parts[0].framework if parts else None


def part_for(folder: Path, found: MLmodel, framework: str) -> Path:
    """The file or folder that a framework reads of a model folder.

    Raises:
      LoadError: it has no flavour of this framework; names those that it has.
    """
    parts = _parts(found.flavours)
    part = next((part for part in parts if part.framework == framework), None)
    if part is None:
        raise LoadError(_refusal(folder, found, framework, parts))
    lexical = PurePosixPath(part.relative)
    if lexical.is_absolute() or ".." in lexical.parts:
        raise LoadError(f"{folder}: its MLmodel names '{part.relative}', which is not below it")
    path = folder / part.relative
    if not path.exists():
        raise LoadError(f"{folder}: its MLmodel names '{part.relative}', which is missing there")
    exported = path / "model"  # Keras: a SavedModel, beside the name of the module that wrote it
    return exported if (exported / "saved_model.pb").is_file() else path


def _parts(flavours: Mapping[str, Mapping[str, Any]]) -> list[Part]:
    found = []
    for flavour, keys in flavours.items():
        if flavour not in _FRAMEWORKS:
            continue
        framework, key, usual = _FRAMEWORKS[flavour]
        relative = keys.get(key) or keys.get("saved_model_dir") or usual
        if flavour in _TABLES and PurePosixPath(str(relative)).suffix.lower() in _ESTIMATORS:
            framework = "sklearn"  # an estimator of that library, in the formats of scikit-learn's
        found.append(Part(framework, str(relative)))
    return found


def _refusal(folder: Path, found: MLmodel, framework: str, parts: list[Part]) -> str:
    has = f"{folder} is an MLflow model with the flavours {', '.join(sorted(found.flavours))}"
    if parts:
        readers = ", ".join(f"`framework: {part.framework}`" for part in parts)
        return f"{has}, which {readers} reads; found `framework: {framework}`"
    if set(found.flavours) == {"python_function"}:
        return (
            f"{has} only: code of its own, which only MLflow calls. Write a class for `framework: "
            "python` whose load(path) calls mlflow.pyfunc.load_model(path), with `path:` this "
            "folder, in an image of your own that has mlflow and what the folder's "
            "requirements.txt lists"
        )
    return (
        f"{has}, none of which is read here, expected one of {', '.join(READABLE)}; where its "
        "library can export ONNX, save it so"
    )
