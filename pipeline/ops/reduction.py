"""Several columns, or the last axis of one, become one value: mean, sum, vote..."""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array
from pipeline.ops.values import as_floating, as_widened
from pipeline.spec.combine import Reduce, Vote, WeightedMean


def reduce(step: Reduce, *columns: Array) -> Array:
    """Reduces several columns element by element, or the last axis of one.

    Shapes: m times ``(rows, *shape)`` -> ``(rows, *shape)``, or ``(rows, ..., n)`` ->
    ``(rows, ...)``. Dtypes: min and max keep it; mean and median are floating; sum and product have
    64 bits for integers and booleans (they wrap around beyond), and float32 for float16.
    """
    values, axis = (columns[0], -1) if isinstance(step.of, str) else (np.stack(columns), 0)
    match step.op:
        case "mean":
            return np.asarray(as_floating(values).mean(axis=axis))
        case "median":
            return np.asarray(np.median(as_floating(values), axis=axis))
        case "min":
            return np.asarray(values.min(axis=axis))
        case "max":
            return np.asarray(values.max(axis=axis))
        case "sum":
            return np.asarray(as_widened(values).sum(axis=axis))
        case "product":
            return np.asarray(as_widened(values).prod(axis=axis))


def weighted_mean(step: WeightedMean, *columns: Array) -> Array:
    """Shapes: m times ``(rows, *shape)`` -> ``(rows, *shape)``; floating."""
    values = as_floating(np.stack(columns))
    total = sum(step.weights)
    mean: Array = np.zeros_like(values[0])
    for column, weight in zip(values, step.weights, strict=True):
        mean += column * (weight / total)
    return mean


def vote(step: Vote, *columns: Array) -> Array:
    """The value with most votes at each place, of equals the one of the column named first.

    Shapes: m times ``(rows, *shape)`` -> ``(rows, *shape)``. Dtype: the columns' common one;
    integers, booleans or text.
    """
    values = np.stack(columns)
    weights = step.weights or (1.0,) * len(values)
    votes = np.zeros(values.shape)
    for column, weight in zip(values, weights, strict=True):
        votes += weight * (values == column)
    # Rounded so that 0.3 ties with 0.1 + 0.2.
    winner = np.round(votes / sum(weights), 9).argmax(axis=0)
    return np.asarray(np.take_along_axis(values, winner[np.newaxis], axis=0)[0])
