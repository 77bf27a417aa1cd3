"""Round numbers for axes."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.report.page import scales

sensible = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9)


@given(sensible, sensible)
def test_ticks_lie_between_the_ends_and_are_few(one, other):
    low, high = min(one, other), max(one, other)
    assume(high - low > 1e-9 * max(abs(low), abs(high)))
    found = scales.ticks(low, high, 5)
    slack = 1e-6 * (high - low)
    assert 1 <= len(found) <= 7
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_ticks_are_round():
    assert scales.ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert scales.ticks(-30, 70, 5) == [-20, 0, 20, 40, 60]
    assert scales.ticks(3, 3) == [3]


@given(sensible, sensible, st.integers(5, 50))
def test_binary_edges_cover_the_values_with_at_most_so_many_intervals(one, other, most):
    low, high = min(one, other), max(one, other)
    assume(high - low > 1e-9 * max(abs(low), abs(high)))
    edges = scales.binary_edges(low, high, most)
    assert edges[0] <= low
    assert high <= edges[-1]
    assert len(edges) - 1 <= most
    width = np.diff(edges)
    assert np.log2(width[0]) == round(float(np.log2(width[0])))


@given(st.floats(1e-9, 1e9), st.floats(1.01, 1e9))
def test_ticks_of_logarithms_lie_between_the_ends_and_are_few(low, factor):
    found = scales.log_ticks(low, low * factor)
    assert len(found) <= 5
    assert all(low <= tick <= low * factor for tick in found)
    assert scales.round_below(low) <= low


def test_ticks_of_logarithms_are_as_fine_as_fits():
    assert scales.log_ticks(20, 900) == [20, 50, 100, 200, 500]
    assert scales.log_ticks(50, 30_000) == [100, 1000, 10_000]
    assert scales.log_ticks(0.1, 1e9) == pytest.approx([0.1, 100, 1e5, 1e8])
    assert scales.round_below(83) == 50


@pytest.mark.parametrize(
    ("span_secs", "step", "unit"),
    [(38, 5, "s"), (600, 120, "min"), (3600 * 6, 3600, "h"), (86_400 * 30, 86_400 * 5, "d")],
)
def test_time_has_steps_of_a_clock(span_secs, step, unit):
    found = scales.time_step(span_secs, 9)
    assert found == step
    assert scales.time_unit(found)[1] == unit
