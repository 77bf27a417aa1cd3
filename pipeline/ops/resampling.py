"""Resizing as TensorFlow does it: each pixel from the few beside it, however much is left out.

Which pixels make one, and how much of each, is the same for all rows of a picture and for all its
columns; so both axes are computed one after the other, from a table of positions and weights. The
formulas are those of TensorFlow 2's kernels with half-pixel centres, in their precision, down to
the table of 1,024 places in which its bicubic kernel looks weights up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from pipeline.batch.columns import Array

Method = Literal["bilinear", "nearest", "bicubic", "area"]

_TABLE = 1024
_KEYS = -0.5  # Keys' cubic


def resample(pixels: Array, height: int, width: int, method: Method) -> Array:
    """A picture of another size, as ``tf.image.resize`` gives it without antialiasing.

    Args:
      pixels: shape ``(h, w, ...)`` with at least one pixel, uint8 or float32.
      height: of the result, at least 1.
      width: the same.
      method: "area" is the mean of all that a pixel of the result covers.

    Returns:
      shape ``(height, width, ...)``, float32 and not rounded; "nearest" keeps the dtype.
    """
    return _along(1, _along(0, pixels, height, method), width, method)


def _along(axis: int, pixels: Array, length: int, method: Method) -> Array:
    if method == "nearest":
        return np.take(pixels, _nearest(pixels.shape[axis], length), axis)
    positions, weights = _taps(method, pixels.shape[axis], length)
    shape = [1] * pixels.ndim
    shape[axis] = length
    made: Array | None = None
    for position, weight in zip(positions, weights, strict=True):
        # One after the other: of a large picture, only what is needed becomes float32.
        part = np.take(pixels, position, axis) * weight.reshape(shape)
        made = part if made is None else np.add(made, part, out=made)
    assert made is not None
    return made


def _nearest(there: int, wanted: int) -> Array:
    scale = np.float32(there) / np.float32(wanted)
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale
    return np.minimum(centres.astype(np.intp), there - 1)


@lru_cache(maxsize=256)
def _taps(method: Method, there: int, wanted: int) -> tuple[Array, Array]:
    """For each pixel of the result, which make it, and how much of each.

    Returns:
      positions (intp) and weights (float32), both of shape ``(taps, wanted)``.
    """
    scale = np.float32(there) / np.float32(wanted)
    places = np.arange(wanted, dtype=np.float32)
    if method == "area":
        return _covered(places * scale, (places + 1) * scale, scale, there)
    centres = (places + np.float32(0.5)) * scale - np.float32(0.5)
    first = np.floor(centres)
    past = centres - first
    if method == "bilinear":
        around, weights = np.stack([first, first + 1]), np.stack([1 - past, past])
        return np.clip(around, 0, there - 1).astype(np.intp), weights
    past = np.rint(past * _TABLE) / _TABLE
    around = np.stack([first - 1, first, first + 1, first + 2])
    weights = np.stack([_far(1 + past), _near(past), _near(1 - past), _far(2 - past)])
    weights[(around < 0) | (around >= there)] = 0
    weights = (weights / weights.sum(axis=0)).astype(np.float32)
    return np.clip(around, 0, there - 1).astype(np.intp), weights


def _covered(start: Array, stop: Array, scale: np.float32, there: int) -> tuple[Array, Array]:
    """The pixels between two places, each by the share of it that lies there."""
    first = np.floor(start)
    most = int((np.ceil(stop) - first).max())
    around = first + np.arange(most, dtype=np.float32)[:, np.newaxis]
    inside = np.minimum(around + 1, stop) - np.maximum(around, start)
    return np.clip(around, 0, there - 1).astype(np.intp), np.maximum(inside, 0) / scale


def _near(distance: Array) -> Array:
    """Keys' cubic up to a distance of one pixel."""
    return ((_KEYS + 2) * distance - (_KEYS + 3)) * distance * distance + 1


def _far(distance: Array) -> Array:
    """Keys' cubic from one pixel to two."""
    return ((_KEYS * distance - 5 * _KEYS) * distance + 8 * _KEYS) * distance - 4 * _KEYS
