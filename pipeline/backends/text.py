"""Text between numpy and the frameworks: object arrays of ``str`` here, UTF-8 there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.batch.columns import Array


def decoded(array: Array) -> Array:
    """An array as columns hold it: text as an object array of ``str``, all else unchanged.

    An element that is not UTF-8 stays ``bytes``. Elements are judged one by one, so that a row is
    the same whatever batch it is computed in.
    """
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype.kind != "O":
        return array
    return _object_array((_decoded(value) for value in array.flat), array.shape)


def as_str(array: Array) -> Array:
    """An object array of ``str`` from one of ``str`` or ``bytes``.

    Raises:
      UnicodeDecodeError: bytes that are not UTF-8.
    """
    return _object_array(
        (value.decode() if isinstance(value, bytes) else value for value in array.flat),
        array.shape,
    )


def is_text(array: Array) -> bool:
    """Whether an array holds text (or objects, which only text may be)."""
    return array.dtype.kind in "OUS"


def _decoded(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _object_array(values: Iterable[Any], shape: tuple[int, ...]) -> Array:
    return np.fromiter(values, dtype=object).reshape(shape)
