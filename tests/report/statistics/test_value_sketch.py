"""Sketches of numbers: the same whatever the parts, and as exact as they say."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.statistics.value_sketch import ValueSketch, merged, sketch

FEW = 8
numbers = st.floats(allow_nan=False, allow_infinity=False)


def kept(values):
    return sketch(np.array(values, dtype=np.float64), FEW)


@st.composite
def parts(draw, of):
    """A list of values, and the same cut into parts in another order."""
    values = draw(st.lists(of, min_size=1, max_size=60))
    shuffled = draw(st.permutations(values))
    cuts = sorted(draw(st.lists(st.integers(0, len(values)), max_size=5)))
    edges = [0, *cuts, len(values)]
    return values, [shuffled[a:b] for a, b in pairwise(edges)]


@given(parts(numbers))
def test_any_split_merged_at_once_is_the_whole(cut):
    values, some = cut
    assert merged([kept(part) for part in some]) == kept(values)


@given(parts(numbers | st.sampled_from([0.0, -0.0, 1.0, 5e-324, -1e308])))
def test_any_split_merged_one_after_the_other_is_the_whole(cut):
    values, some = cut
    total = ValueSketch(most_bins=FEW)
    for part in some:
        total = merged([total, kept(part)])
    assert total == kept(values)


@given(parts(numbers))
def test_shift_known_beforehand_changes_nothing_of_the_merged_sketch(cut):
    values, some = cut
    first = kept(some[0])
    known = first.shift if some[0] else 0
    rest = [sketch(np.array(part, dtype=np.float64), FEW, known) for part in some[1:]]
    assert merged([first, *rest]) == kept(values)


@given(parts(st.integers(-(2**60), 2**60)))
def test_integers_are_their_nearest_floats(cut):
    values, some = cut
    whole = sketch(np.array(values, dtype=np.int64), FEW)
    assert whole == kept([float(value) for value in values])
    assert merged([sketch(np.array(part, dtype=np.int64), FEW) for part in some]) == whole


@given(st.lists(numbers, min_size=1, max_size=80), st.floats(0, 1))
def test_quantile_is_off_by_no_more_than_half_a_bin(values, share):
    found = kept(values)
    true = sorted(values)[round(share * (len(values) - 1))]
    if found.shift <= 52:  # bins within an octave
        # The smallest normal number is the unit of what is next to zero.
        unit = max(abs(true), np.finfo(np.float64).tiny)
        assert abs(found.quantile(share) - true) <= unit * found.relative_width / 2 * 1.0001
    assert found.least <= found.quantile(share) <= found.greatest


@given(st.lists(numbers, max_size=80))
def test_there_are_never_more_bins_than_allowed_and_no_number_is_lost(values):
    found = kept(values)
    assert len(found.keys) <= FEW
    assert found.count == len(values)
    lower, upper = found.borders()
    assert (lower <= upper).all()
    if values:
        assert (found.least, found.greatest) == (min(values), max(values))


def test_few_different_numbers_are_counted_exactly():
    found = sketch(np.repeat(np.arange(2048) / 7, 3))
    assert found.exact
    lower, upper = found.borders()
    assert lower.tolist() == upper.tolist() == (np.arange(2048) / 7).tolist()
    assert set(found.counts.tolist()) == {3}


@pytest.mark.parametrize(("low", "high", "most"), [(1e-6, 1, 0.02), (290, 310, 0.001)])
def test_bins_are_as_narrow_as_the_module_promises(low, high, most):
    values = np.geomspace(low, high, 100_000)
    found = sketch(values)
    assert 0 < found.relative_width <= most
    for share in (0.01, 0.5, 0.99):
        true = np.quantile(values, share)
        assert found.quantile(share) == pytest.approx(true, rel=most / 2 + 1e-3)


def test_both_zeros_are_one_number():
    assert sketch(np.array([0.0, -0.0])).counts.tolist() == [2]


def test_counts_between_edges_that_no_bin_crosses_are_exact():
    values = np.random.default_rng(0).random(20_000)
    edges = np.arange(0, 33) / 32
    found = sketch(values).counts_between(edges)
    np.testing.assert_allclose(found, np.histogram(values, edges)[0], atol=1e-6)


def test_last_edge_belongs_to_its_interval_and_others_to_the_next():
    found = sketch(np.array([0.0, 1.0, 1.0, 2.0])).counts_between(np.array([0.0, 1.0, 2.0]))
    assert found.tolist() == [1, 3]


def test_sketch_is_small_when_it_travels():
    values = np.random.default_rng(0).normal(size=1_000_000)
    assert len(pickle.dumps(sketch(values))) < 40_000


@pytest.mark.filterwarnings("error")
def test_counts_of_a_long_range_from_zero_warn_of_nothing():
    found = sketch(np.arange(3000.0)).counts_between(np.linspace(0, 2999, 11))
    assert found.sum() == 3000
