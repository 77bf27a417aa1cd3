"""The distribution of numbers in little memory: counts in bins, which merge in any order.

A float64 read as an integer, in an order-preserving way, is a *key*: exponent, then mantissa. A
*bin* is all numbers whose keys agree but for their last `shift` bits, so within an octave all bins
have one width, at most ``2**(shift - 52)`` of the numbers in them (HdrHistogram,
http://hdrhistogram.org). When more bins are in use than allowed, `shift` grows by as little as
needed, which joins neighbours (the uniform collapse of UDDSketch, Epicoco et al. 2020,
arXiv:2004.08604). Bins nest, and `shift` is a function of the set of numbers alone; so whatever the
parts and the order in which they are merged, the result is that of all numbers, bit for bit.

Error: up to `most_bins` different numbers are counted exactly. Beyond, a number is known up to its
bin: numbers spread over o octaves have bins no wider than ``2 * o / most_bins`` of the number, so
2,048 bins know numbers between 0.000001 and 1 to 2 %, and those of one octave to 0.1 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.batch.columns import Array

MOST_BINS = 2048
_KEY_BITS = 64
_ALL_BUT_SIGN = np.int64(2**63 - 1)
_SMALL_SPAN = 16_384


def _no_integers() -> Array:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ValueSketch:
    """Counts of finite numbers. Immutable.

    Attributes:
      keys: the keys of the bins in use, int64, ascending: the leading bits of the numbers' keys.
      counts: the count of numbers in each bin, int64.
      shift: the number of last bits of a key that do not count.
      least, greatest: the exact extremes of all numbers; infinite while there are none.
      most_bins: the most bins in use at one time; the same for all sketches that are merged.
    """

    keys: Array = field(default_factory=_no_integers)
    counts: Array = field(default_factory=_no_integers)
    shift: int = 0
    least: float = float("inf")
    greatest: float = float("-inf")
    most_bins: int = MOST_BINS

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ValueSketch)
            and (self.shift, self.least, self.greatest, self.most_bins)
            == (other.shift, other.least, other.greatest, other.most_bins)
            and np.array_equal(self.keys, other.keys)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none either

    @property
    def count(self) -> int:
        """The number of numbers."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Whether every number is known, not just its bin."""
        return self.shift == 0

    @property
    def relative_width(self) -> float:
        """The width of the widest bin as a share of the numbers in it; 0 if all are exact."""
        return 0.0 if self.exact else min(1.0, 2.0 ** (self.shift - 52))

    def borders(self) -> tuple[Array, Array]:
        """Lower and upper border of each bin, float64, within `least` and `greatest`."""
        lower = _numbers(self.keys << self.shift)
        if self.exact:
            return lower, lower
        last = (self.keys << self.shift) | np.int64((1 << self.shift) - 1)
        upper = _numbers(last)
        return (
            np.clip(np.nan_to_num(lower, nan=self.least), self.least, self.greatest),
            np.clip(np.nan_to_num(upper, nan=self.greatest), self.least, self.greatest),
        )

    def quantile(self, share: float) -> float:
        """The number of rank ``share * (count - 1)``, as the middle of its bin.

        Args:
          share: 0.5 is the median.

        Raises:
          ValueError: there are no numbers.
        """
        if not len(self.keys):
            raise ValueError("a sketch of no numbers has no quantiles")
        rank = round(share * (self.count - 1))
        place = int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))
        lower, upper = self.borders()
        return float(lower[place] + (upper[place] - lower[place]) / 2)

    def counts_between(self, edges: Array) -> Array:
        """The number of numbers between consecutive edges; the last edge belongs to its interval.

        If an edge cuts a bin, the bin's numbers are assumed to be spread evenly over it.

        Args:
          edges: ascending, float64.

        Returns:
          float64 of length ``len(edges) - 1``.
        """
        lower, upper = self.borders()
        width = upper - lower
        below = np.zeros(len(edges))
        for place, edge in enumerate(edges):
            with np.errstate(over="ignore"):  # the bin of 0 is narrow: infinitely far is behind it
                inside = np.divide(edge - lower, width, out=(edge > lower) * 1.0, where=width > 0)
            below[place] = (np.clip(inside, 0, 1) * self.counts).sum()
        if self.greatest <= edges[-1]:
            below[-1] = self.count
        return np.diff(below)


def sketch(values: Array, most_bins: int = MOST_BINS, least_shift: int = 0) -> ValueSketch:
    """The sketch of finite numbers.

    Args:
      values: integers, booleans or floats of any shape, all finite.
      most_bins: see ValueSketch.
      least_shift: the shift of a sketch that the result will be merged with. It does not change the
        merged result, and saves most of the time.
    """
    flat = np.asarray(values).reshape(-1)
    if not flat.size:
        return ValueSketch(most_bins=most_bins)
    counts = None
    if flat.dtype.kind in "biu":
        # Integers of a small range repeat often, so they are counted before they become floats.
        flat, counts = _counted(flat.astype(np.int64))
    numbers = flat.astype(np.float64)
    least, greatest = float(numbers.min()), float(numbers.max())
    keys, counts = _counted(_keys(numbers, least) >> least_shift, counts)
    return _fitted(keys, counts, least_shift, least, greatest, most_bins)


def merged(parts: Sequence[ValueSketch]) -> ValueSketch:
    """The sketch of the numbers of all parts, at least one."""
    used = [part for part in parts if len(part.keys)]
    if len(used) < 2:
        return used[0] if used else parts[0]
    shift = max(part.shift for part in used)
    keys, counts = _counted(
        np.concatenate([part.keys >> (shift - part.shift) for part in used]),
        np.concatenate([part.counts for part in used]),
    )
    least, greatest = min(part.least for part in used), max(part.greatest for part in used)
    return _fitted(keys, counts, shift, least, greatest, used[0].most_bins)


def _fitted(
    keys: Array, counts: Array, shift: int, least: float, greatest: float, most_bins: int
) -> ValueSketch:
    """The sketch of distinct ascending keys, cut by more bits if there are too many of them."""
    more = _bits_to_cut(keys, most_bins)
    if more:
        keys = keys >> more
        first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        keys, counts = keys[first], np.add.reduceat(counts, first)
    return ValueSketch(keys, counts, shift + more, least + 0.0, greatest + 0.0, most_bins)


def _counted(integers: Array, counts: Array | None = None) -> tuple[Array, Array]:
    """The distinct integers, ascending, and how often each occurs.

    Args:
      integers: int64, at least one.
      counts: how often each of them counts; once by default.
    """
    least = integers.min()
    span = int(integers.max()) - int(least)
    if span <= max(_SMALL_SPAN, 4 * len(integers)):
        sums = np.bincount(integers - least, weights=counts)
        places = np.flatnonzero(sums)
        return places + least, sums[places].astype(np.int64)
    if counts is None:
        found, occurrences = np.unique(integers, return_counts=True)
        return found, occurrences.astype(np.int64)
    order = np.argsort(integers, kind="stable")
    integers, counts = integers[order], counts[order]
    first = np.flatnonzero(np.concatenate(([True], integers[1:] != integers[:-1])))
    return integers[first], np.add.reduceat(counts, first)


def _keys(numbers: Array, least: float) -> Array:
    """The numbers as integers of the same order. Turns -0.0 into 0.0, in place."""
    numbers += 0.0
    bits: Array = numbers.view(np.int64)
    if least < 0:
        # A float's bits are sign and magnitude: of a negative one, the magnitude is turned round.
        bits = bits ^ ((bits >> 63) & _ALL_BUT_SIGN)
    return bits


def _numbers(keys: Array) -> Array:
    """The inverse of `_keys`."""
    bits = keys ^ ((keys >> 63) & _ALL_BUT_SIGN)
    numbers: Array = bits.view(np.float64)
    return numbers


def _bits_to_cut(keys: Array, most_bins: int) -> int:
    """How many of their last bits distinct ascending keys must lose to be at most so many."""
    if len(keys) <= most_bins:
        return 0
    differing = keys[1:] ^ keys[:-1]
    # Without the bit below the highest one, the conversion to float cannot round up to the next.
    highest = np.frexp((differing & ~(differing >> 1)).astype(np.float64))[1]
    highest = np.where(differing < 0, _KEY_BITS, highest)  # signs never join
    # Neighbours stay apart as long as fewer bits are cut than their highest differing one.
    return int(np.partition(highest, -most_bins)[-most_bins])
