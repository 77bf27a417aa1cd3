"""Round numbers for axes."""

from __future__ import annotations

import math

import numpy as np

from pipeline.batch.columns import Array

_SECS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200),
)
_DAY_SECS = 86_400


def round_step(span: float, most: int) -> float:
    """The least of 1, 2, 5, 10... times a power of ten that divides `span` into at most `most`."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`."""
    if high <= low:
        return [low]
    step = round_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def round_below(value: float) -> float:
    """The greatest of 1, 2, 5, 10... times a power of ten that is at most `value`, positive."""
    power = 10.0 ** math.floor(math.log10(value))  # of the next one, where the logarithm is rounded
    return max(factor * power for factor in (0.5, 1, 2, 5) if factor * power <= value)


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high` for an axis of logarithms.

    Args:
      low: positive.
      high: more than `low`.
      most: the greatest number of them.
    """
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    decades = range(first, last + 1)
    for factors, step in (((1, 2, 5), 1), ((1,), 1), ((1,), -(-len(decades) // most))):
        found = [factor * 10.0**decade for decade in decades[::step] for factor in factors]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= most:
            break
    return found


def time_step(span_secs: float, most: int) -> float:
    """A step of a clock, in seconds, that divides a span into at most `most`."""
    fitting = [step for step in _SECS if span_secs / step <= most]
    return fitting[0] if fitting else _DAY_SECS * round_step(span_secs / _DAY_SECS, most)


def time_unit(step_secs: float) -> tuple[float, str]:
    """The unit in which multiples of a step are short, in seconds, and its name."""
    for secs, name in ((_DAY_SECS, "d"), (3600, "h"), (60, "min")):
        if step_secs % secs == 0:
            return secs, name
    return 1, "s"


def binary_edges(low: float, high: float, most: int) -> Array:
    """Edges of at most `most` intervals that cover `low` to `high`: multiples of a power of two.

    The bins of a ValueSketch do not cross such edges, as long as they are not wider.
    """
    width = 2.0 ** math.ceil(math.log2((high - low) / most))
    first, last = math.floor(low / width), math.ceil(high / width)
    if last - first > most:
        width *= 2
        first, last = math.floor(low / width), math.ceil(high / width)
    return width * np.arange(first, last + 1, dtype=np.float64)
