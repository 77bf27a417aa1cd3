"""What makes a load take long: slow storage, Python's own work, a framework's.

A release of the swap benchmark has two models: the small network that the batches run through, and
a companion that only loads. Of version 2 the companion is large, or its storage slow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.small_models import CLASSES, FEATURES, network


@dataclass(frozen=True)
class Load:
    """One way for a load to take long.

    Attributes:
      title: its name in the table.
      companion: the companion's entry in the ensemble file, without its `uri`.
      make: (folder, size) -> writes the companion there, small for size 0 and large for 1.
      waits: the loader itself waits, as for storage.
    """

    title: str
    companion: dict[str, Any]
    make: Callable[[Path, float], None]
    waits: bool = False


def _onnx(folder: Path, size: float) -> None:
    network(folder / "model.onnx", seed=7)


def _forest(folder: Path, size: float) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from skops import io as skops_io

    x = np.random.default_rng(0).normal(size=(3000, FEATURES)).astype(np.float32)
    fit = RandomForestClassifier(5 + int(250 * size), n_jobs=2, random_state=0)
    folder.mkdir(parents=True)
    skops_io.dump(fit.fit(x, x[:, :CLASSES].argmax(1)), folder / "model.skops")


def _saved_model(folder: Path, size: float) -> None:
    import keras

    x = hidden = keras.Input((FEATURES,), name="x")
    for _ in range(3 + int(200 * size)):
        hidden = keras.layers.Dense(FEATURES, activation="relu")(hidden)
    keras.Model(x, keras.layers.Dense(CLASSES)(hidden)).export(str(folder), verbose=False)


LOADS = {
    "storage": Load(
        "slow storage",
        {"framework": "onnx", "inputs": {"x": "x"}, "outputs": {"proba": "companion"}},
        _onnx,
        waits=True,
    ),
    "forest": Load(
        "Python (skops, 255 trees)",
        {
            "framework": "sklearn",
            "trusted": True,
            "inputs": {"X": "x"},
            "outputs": {"predict_proba": "companion"},
        },
        _forest,
    ),
    "savedmodel": Load(
        "TensorFlow (203 layers)",
        {"framework": "tensorflow", "inputs": {"x": "x"}, "outputs": {"output_0": "companion"}},
        _saved_model,
    ),
}


def make(key: str, folder: Path, size: float) -> None:
    """Writes versions 1 and 2 of the companion to ``folder/1`` and ``folder/2``.

    In a process of its own, so that what it takes to make them is not there when they are loaded.
    """
    command = [sys.executable, "-m", __name__, key, str(folder), str(size)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the companions of the swap benchmark.")
    parser.add_argument("key", choices=LOADS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size", type=float)
    options = parser.parse_args()
    LOADS[options.key].make(options.folder / "1", 0.0)
    LOADS[options.key].make(options.folder / "2", options.size)
