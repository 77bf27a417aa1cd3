"""The model of the swap and the streaming benchmark: 64 numbers to 10 probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support import models

FEATURES, HIDDEN, CLASSES = 64, 128, 10


def network(path: Path, seed: int) -> Path:
    """Writes an ONNX network of 64-128-10 neurons; another seed gives other weights.

    Its input is ``x`` float32[n, 64], its output ``proba`` float32[n, 10].
    """
    rng = np.random.default_rng(seed)
    return models.save_onnx(
        path,
        [
            ("Gemm", ["x", "w1", "b1"], ["sums"], {}),
            ("Relu", ["sums"], ["hidden"], {}),
            ("Gemm", ["hidden", "w2", "b2"], ["logits"], {}),
            ("Softmax", ["logits"], ["proba"], {"axis": 1}),
        ],
        {"x": ("float32", ["rows", FEATURES])},
        {"proba": ("float32", ["rows", CLASSES])},
        {
            "w1": rng.normal(scale=FEATURES**-0.5, size=(FEATURES, HIDDEN)).astype("float32"),
            "b1": rng.normal(scale=0.1, size=HIDDEN).astype("float32"),
            "w2": rng.normal(scale=HIDDEN**-0.5, size=(HIDDEN, CLASSES)).astype("float32"),
            "b2": rng.normal(scale=0.1, size=CLASSES).astype("float32"),
        },
    )
