"""Numbers become other numbers: scaled, limited, rounded, in buckets, of another dtype."""

from __future__ import annotations

import math

import numpy as np

from pipeline.batch import casts
from pipeline.batch.columns import Array, Column
from pipeline.batch.tensors import FLOATS, numpy_dtype
from pipeline.ops.text import as_text, parse_numbers
from pipeline.ops.values import (
    Bad,
    as_floating,
    as_widened,
    bad_values,
    each_value,
    is_nan,
)
from pipeline.spec.combine import Round
from pipeline.spec.prepare import Bucketize, Cast, Clip, Log1p, Scale


def scale(step: Scale, column: Column) -> Column:
    """``value * factor + offset``, or ``(value - min) / (max - min)``.

    Shape stays. Dtype: float32 for float32, float16, booleans and integers of up to 16 bits, else
    float64. Bad is a value whose result is beyond the dtype's range.
    """

    def compute(values: Array) -> tuple[Array, Bad]:
        floating = values.astype(np.result_type(values.dtype, np.float32))
        if step.min is not None and step.max is not None:
            scaled = (floating - step.min) / (step.max - step.min)
        else:
            scaled = floating * step.factor + step.offset
        name = scaled.dtype.name
        bad = ~np.isfinite(scaled) & ~is_nan(values)
        return scaled, bad_values(bad, values, f"whose result {name} cannot hold")

    return each_value(column, compute)


def clip(step: Clip, column: Column) -> Column:
    """Values brought into `min` to `max`; dtype and shape stay."""

    def compute(values: Array) -> tuple[Array, Bad]:
        low, high = (
            None if limit is None else values.dtype.type(limit) for limit in (step.min, step.max)
        )
        return np.clip(values, low, high), {}

    return each_value(column, compute)


def log1p(step: Log1p, column: Column) -> Column:
    """The logarithm of 1 + value; shape stays, dtype as `as_floating`. Bad are values up to -1."""

    def compute(values: Array) -> tuple[Array, Bad]:
        bad = bad_values(values <= -1, values, "expected more than -1")
        return np.log1p(as_floating(values)), bad

    return each_value(column, compute)


def bucketize(step: Bucketize, column: Column) -> Column:
    """The bucket of each value, int64; shape stays."""
    is_left = step.closed == "left"

    def compute(values: Array) -> tuple[Array, Bad]:
        if values.dtype.kind == "f":
            floats = as_floating(values)
            boundaries = np.array(step.boundaries, dtype=floats.dtype)
            found = np.searchsorted(boundaries, floats, side="right" if is_left else "left")
            return found.astype(np.int64), {}
        # The least integer of the next bucket. What no integer of the dtype reaches counts as
        # passed by all, or by none; a float could not tell large integers apart.
        limits = np.iinfo(values.dtype)
        starts = [math.ceil(b) if is_left else math.floor(b) + 1 for b in step.boundaries]
        passed = sum(start <= limits.min for start in starts)
        reached = [start for start in starts if limits.min < start <= limits.max]
        found = np.searchsorted(np.array(reached, dtype=values.dtype), values, side="right")
        return found.astype(np.int64) + passed, {}

    return each_value(column, compute)


def cast(step: Cast, column: Column) -> Column:
    """The same values, shape stays, as `dtype`.

    Bad is what the dtype cannot hold (:mod:`pipeline.batch.casts`): beyond its range, fractions in
    integers, other than 0 and 1 in booleans, integers that a float would round, text that is no
    finite number, bytes that are not UTF-8. Floats and text become nearest floats.
    """
    return each_value(column, lambda values: _cast(step.dtype, values))


def _cast(dtype: str, values: Array) -> tuple[Array, Bad]:
    if dtype in ("string", "bytes"):
        return as_text(dtype, values)
    if values.dtype.kind == "O":
        return parse_numbers(dtype, values)
    cast = values.astype(numpy_dtype(dtype))
    bad = casts.lost(values, dtype)
    if bad is None:
        bad = np.zeros(values.shape, dtype=bool)
    if dtype in FLOATS:
        bad = (bad | ~np.isfinite(cast)) & ~is_nan(values)
    return cast, bad_values(bad, values, f"expected {dtype}")


def round_decimals(step: Round, values: Array) -> Array:
    """Rounds half to even; shape stays.

    Dtype stays, but integers rounded to tens, hundreds... become wide (127 as int8 would not hold
    its 130). Values too large for that many decimals stay as they are.
    """
    decimals = min(max(step.decimals, -300), 300)  # beyond, numpy's power of ten is no number
    if values.dtype.kind == "f":
        rounded = np.round(values, decimals)
        return np.where(np.isfinite(rounded), rounded, values)
    if values.dtype.kind == "b" or decimals >= 0:
        return values
    return np.round(as_widened(values), decimals)
