"""The file `MLmodel` of an MLflow model folder: which flavours it has, and its signature.

A flavour is a way to load the model: `sklearn`, `xgboost`..., and `python_function` for whatever
MLflow itself would call. Format: https://mlflow.org/docs/latest/ml/model/#storage-format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.backends.mlflow.signature import Column, column_of
from pipeline.backends.reasons import own_words
from pipeline.errors import LoadError

NAME = "MLmodel"

_MOST_BYTES = 4 << 20
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class MLmodel:
    """What the file says.

    Attributes:
      flavours: name -> its keys.
      inputs: the columns or tensors that it was fitted on; empty where it has no signature.
      python_version: of the process that wrote it, if it says so.
    """

    flavours: Mapping[str, Mapping[str, Any]]
    inputs: tuple[Column, ...] = ()
    python_version: str | None = None


def read(folder: Path) -> MLmodel | None:
    """What a folder's MLmodel says; None where there is none.

    Raises:
      LoadError: it cannot be read.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    if file.stat().st_size > _MOST_BYTES:
        raise LoadError(f"{file} has more than {_MOST_BYTES >> 20} MiB, too many for an MLmodel")
    try:
        data = yaml.load(file.read_bytes(), _LOADER)  # a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LoadError(f"{file} is no YAML: {own_words(error)}") from error
    flavours = flavours_in(data)
    if not flavours:
        raise LoadError(f"{file} has no `flavors`, expected what MLflow's save_model writes")
    version = flavours.get("python_function", {}).get("python_version")
    # Unquoted, 3.10 is a number, 3.1.
    known = version if isinstance(version, str) else None
    return MLmodel(flavours, _inputs(file, data), known)


def flavours_in(data: Any) -> dict[str, Mapping[str, Any]]:
    """The flavours of the plain data of an MLmodel: name -> keys."""
    found = data.get("flavors") if isinstance(data, dict) else None
    flavours = found.items() if isinstance(found, dict) else ()
    return {str(name): keys if isinstance(keys, dict) else {} for name, keys in flavours}


def _inputs(file: Path, data: Mapping[str, Any]) -> tuple[Column, ...]:
    signature = data.get("signature")
    text = signature.get("inputs") if isinstance(signature, dict) else None
    if not text:
        return ()
    try:
        listed = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise LoadError(f"{file}: its signature's inputs are no JSON: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise LoadError(f"{file}: its signature's inputs are no list of columns or tensors")
    return tuple(column_of(each) for each in listed)
