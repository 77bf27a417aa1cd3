"""What scores become: positions, probabilities, decisions.

Rows whose position, order or comparison would be made from NaN are refused here, because nothing
later could tell.
"""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array
from pipeline.ops.values import as_floating, reject_rows
from pipeline.spec.combine import ScoreOp, Threshold, TopK


def activate(step: ScoreOp, values: Array) -> Array:
    """Computes the operation that the step names."""
    match step.op:
        case "argmax":
            return _argmax(step, values)
        case "softmax":
            return _softmax(as_floating(values))
        case "sigmoid":
            return _sigmoid(as_floating(values))


def top_k(step: TopK, values: Array) -> Array | tuple[Array, Array]:
    """Positions of the k highest values, highest first, of equals the lower position first.

    Shapes: ``(rows, ..., n)`` -> positions ``(rows, ..., k)`` int64, and scores of the same shape
    in the column's dtype.
    """
    _reject_nan(step, values)
    # Sorting backwards, then reading backwards, keeps the lower position of equals in front.
    ascending = values.shape[-1] - 1 - np.argsort(values[..., ::-1], axis=-1, kind="stable")
    positions: Array = ascending[..., ::-1][..., : step.k].astype(np.int64)
    if step.scores is None:
        return positions
    return positions, np.take_along_axis(values, positions, axis=-1)


def threshold(step: Threshold, values: Array) -> Array:
    """Whether each value is at least `value`, compared in the column's dtype; shape stays, bool."""
    _reject_nan(step, values)
    return np.asarray(values >= step.value)


def _argmax(step: ScoreOp, values: Array) -> Array:
    """Position of the highest value, the first of equals: ``(rows, ..., n)`` -> int64."""
    _reject_nan(step, values)
    return np.asarray(values.argmax(axis=-1), dtype=np.int64)


def _softmax(values: Array) -> Array:
    """Exponentials that add up to 1 along the last axis; shape stays."""
    # The highest exponent is 0: nothing overflows, and the sum is at least 1.
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _sigmoid(values: Array) -> Array:
    """``1 / (1 + exp(-x))`` of each value; shape stays."""
    # Only negative exponents, so nothing overflows.
    decay = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, np.ones_like(decay), decay) / (1 + decay))


def _reject_nan(step: ScoreOp | TopK | Threshold, values: Array) -> None:
    if values.dtype.kind == "f":
        reject_rows(np.isnan(values), lambda _: f"{step.op} of '{step.of}', which holds NaN")
