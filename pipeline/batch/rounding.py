"""Whether two results for the same row differ by more than rounding.

A framework sums in another order where the number of rows is another one, so results of the same
row in other company are rarely equal to the last bit. They count as equal within a tolerance:
absolute for values up to 1, relative beyond. NaN equals NaN, and infinity itself.

A label may flip where scores are nearly tied: text, integers and booleans count only where the
model returns no floats that could tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.batch.columns import Array

FULL = 1e-4
HALF = 2e-2
"""A little more than PyTorch's own tests allow for bfloat16 (1.6e-2, torch.testing)."""

_SHOWN = 60


@dataclass(frozen=True)
class Difference:
    """Two results of one row that are not the same.

    Attributes:
      output: the tensor.
      one, other: the values where they are furthest apart, as text.
      label: whether the model returns no floats, so that a mere tie of its scores may explain it.
    """

    output: str
    one: str
    other: str
    label: bool = False


def worst(found: Array, expected: Array, tolerance: float) -> tuple[int, ...] | None:
    """Where two arrays of numbers are furthest apart; None if they agree within a tolerance.

    Args:
      found: an array of the shape of `expected`.
      expected: the array to compare it with.
      tolerance: see the module.
    """
    one, other = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        apart = np.where(same, 0.0, np.abs(one - other))
        apart = np.where(np.isnan(apart), np.inf, apart)
        over = apart > tolerance * np.maximum(1.0, np.abs(other))
        # Infinity exceeds any tolerance, even one that is relative to it.
        over |= ~same & ~(np.isfinite(one) & np.isfinite(other))
    if not over.any():
        return None
    return tuple(int(i) for i in np.unravel_index(np.argmax(np.where(over, apart, -1)), over.shape))


def difference(
    one: Mapping[str, Array], other: Mapping[str, Array], tolerance: float
) -> Difference | None:
    """How two results of a row differ; None if they agree.

    Args:
      one: output -> value of the row, without batch axis.
      other: the same outputs.
      tolerance: the tolerance of float32 and float64; float16 has at least HALF.
    """
    floats = [name for name, array in one.items() if array.dtype.kind == "f"]
    for name in floats or one:
        a, b = one[name], other[name]
        label = not floats
        if a.shape != b.shape:
            return Difference(name, f"of shape {list(a.shape)}", f"of shape {list(b.shape)}", label)
        if label:
            if a.tolist() != b.tolist():
                return Difference(name, _shown(a.tolist()), _shown(b.tolist()), label)
            continue
        half = np.float16 in (a.dtype, b.dtype)
        place = worst(a, b, max(tolerance, HALF) if half else tolerance)
        if place is not None:
            return Difference(name, f"{a[place]:.6g}", f"{b[place]:.6g}")
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
