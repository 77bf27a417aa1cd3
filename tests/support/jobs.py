"""A batch job as a test writes it: a folder with an ensemble file and input, and what came out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import main
from tests.support import models


class Job:
    """A folder with an ensemble file and input, and the command line for them."""

    def __init__(self, folder: Path, artifacts: Path) -> None:
        self.folder = folder
        self.artifacts = artifacts
        self.spec = {
            "name": "pair",
            "record": {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [4]}}},
            "models": [
                {
                    "name": "linear",
                    "framework": "sklearn",
                    "uri": str(artifacts / "linear/1"),
                    "inputs": {"X": "x"},
                    "outputs": {"predict": "linear_y"},
                },
                {
                    "name": "net",
                    "framework": "onnx",
                    "uri": str(artifacts / "net/2"),
                    "inputs": {"x": "x"},
                    "outputs": {"y": "net_y"},
                },
            ],
            "combine": [
                {"column": "y", "op": "mean", "of": ["linear_y", "net_y"]},
                {"column": "top", "op": "argmax", "of": "y"},
            ],
            "output": ["top", "y"],
        }
        self.input = folder / "in"
        self.input.mkdir()

    def write_input(self, *lines: object, name: str = "a.jsonl") -> None:
        data = b"".join(
            (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n"
            for line in lines
        )
        (self.input / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    def arguments(self, *more: str, base: str | None = None) -> list[str]:
        base = base or str(self.folder)
        (self.folder / "ensemble.yaml").write_text(yaml.safe_dump(self.spec))
        return [
            f"--ensemble_spec={self.folder}/ensemble.yaml",
            f"--input_file_pattern={base}/in/*",
            f"--output_path={base}/out/p",
            *more,
        ]

    def run(self, *more: str) -> int:
        return main.main(self.arguments(*more))

    def predictions(self) -> list[Any]:
        return self.lines("out/p-0*")

    def dead_letters(self) -> list[Any]:
        return self.lines("out/p-dead-letters-*")

    def lines(self, pattern: str) -> list[Any]:
        files = sorted(self.folder.glob(pattern))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def record(i: int, x: Sequence[float] = (0.5, -1.0, 2.0, 0.25)) -> dict[str, Any]:
    return {"id": f"r{i}", "x": list(x)}


def expected(x: Sequence[float], scale: float) -> np.ndarray:
    weights, bias = models.affine_weights(scale)
    y: np.ndarray = np.asarray(x) @ weights + bias
    return y
