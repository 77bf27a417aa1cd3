"""Folders of transformers to change and to compare, each made once for a module's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import Servable
from pipeline.batch.columns import Array
from tests.support.specs import load, model_spec


def change(file: Path, *, without: tuple[str, ...] = (), **keys: Any) -> Path:
    """Changes keys of a JSON file, which is made where it does not exist; the folder of it."""
    found = json.loads(file.read_text()) if file.exists() else {}
    kept = {key: value for key, value in found.items() if key not in without}
    file.write_text(json.dumps({**kept, **keys}))
    return file.parent


def opened(
    path: Path, task: str = "text-classification", output: str = "logits", **keys: Any
) -> Servable:
    """A folder as a model with one output."""
    reads = "image" if "image" in task or "detection" in task else "text"
    entry = {"inputs": {reads: "column"}, "outputs": {output: output}, **keys}
    return load(path, model_spec(framework="transformers", task=task, **entry))


def alone(servable: Servable, texts: Array, output: str = "logits") -> Array:
    """What each text gets by itself."""
    rows = (servable.predict({"text": texts[i : i + 1]})[output] for i in range(len(texts)))
    return np.concatenate([np.asarray(row) for row in rows])


def same_in_company(servable: Servable, texts: Array, output: str = "logits") -> Array:
    """What texts get together, which is what each gets by itself."""
    found = np.asarray(servable.predict({"text": texts})[output])
    np.testing.assert_allclose(found, alone(servable, texts, output), atol=1e-5)
    return found
