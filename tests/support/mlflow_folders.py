"""Model folders with what MLflow 3.17.2 wrote of each flavour, where tests put a model."""

from __future__ import annotations

import shutil
from pathlib import Path

_WRITTEN = Path(__file__).parents[1] / "backends/mlflow/written"


def mlmodel(flavour: str) -> bytes:
    """What MLflow wrote as `MLmodel`."""
    return (_WRITTEN / flavour / "MLmodel").read_bytes()


def written(folder: Path, flavour: str) -> Path:
    """A new folder with `MLmodel` and requirements.txt of a flavour, without the model."""
    shutil.copytree(_WRITTEN / flavour, folder)
    return folder
