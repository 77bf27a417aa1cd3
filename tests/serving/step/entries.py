"""A model's entry and a batch for it, and what models compute."""

import numpy as np

from pipeline.batch.batch import Batch
from pipeline.spec.model import OnnxModel


def spec(inputs=None, **changes):
    return OnnxModel.model_validate(
        {
            "name": "m",
            "framework": "onnx",
            "uri": "m",
            "inputs": inputs or {"x": "x"},
            "outputs": {"y": "twice"},
            **changes,
        }
    )


def batch(column):
    n = len(column)
    return Batch(
        ids=tuple(range(n)), payloads=tuple(b"%d" % i for i in range(n)), columns={"x": column}
    )


def twice(inputs):
    return {"y": inputs["x"] * 2}


def failing_on_negative(inputs):
    if (inputs["x"] < 0).any():
        raise ValueError("negative")
    return twice(inputs)


GOOD, BAD = np.arange(4), np.full(4, -1)
