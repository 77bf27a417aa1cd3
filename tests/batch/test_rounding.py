"""Two results of a row are the same unless they differ by more than rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.rounding import FULL, HALF, difference, worst


def row(value, dtype="float32"):
    return {"y": np.asarray(value, dtype)}


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (0.5, 0.50005, False),
        (0.5, 0.5002, True),
        (1000.0, 1000.05, False),
        (1000.0, 1000.2, True),
        (np.nan, np.nan, False),
        (np.nan, 0.0, True),
        (np.inf, np.inf, False),
        (np.inf, -np.inf, True),
        (np.inf, 3.0, True),
        (3.0, np.inf, True),
        ([], [], False),
    ],
)
def test_tolerance_is_absolute_up_to_1_and_relative_beyond(one, other, differ):
    found = difference(row(one, "float64"), row(other, "float64"), FULL)
    assert (found is not None) == differ


def test_place_where_two_arrays_are_furthest_apart_is_told():
    found = np.array([[0.0, 1.0], [2.0, 3.0]])
    expected = np.array([[0.1, 1.0], [2.9, 3.0]])
    assert worst(found, expected, FULL) == (1, 0)
    told = difference({"y": found}, {"y": expected}, FULL)
    assert (told.output, told.one, told.other, told.label) == ("y", "2", "2.9", False)


def test_float16_is_as_coarse_as_half_precision():
    assert difference(row(1.0, "float16"), row(1.01, "float16"), FULL) is None
    assert difference(row(1.0), row(1.01), FULL) is not None
    assert difference(row(1.0), row(1.01), HALF) is None


def test_label_counts_only_where_scores_differ_too():
    one = {"label": np.asarray("cat", object), "score": np.float64(0.5) * np.ones(2)}
    other = {"label": np.asarray("dog", object), "score": np.float64(0.5) * np.ones(2)}
    assert difference(one, other, FULL) is None
    apart = difference(one, {**other, "score": np.zeros(2)}, FULL)
    assert (apart.output, apart.label) == ("score", False)


def test_label_without_scores_counts_and_says_that_it_is_one():
    apart = difference(row(3, "int64"), row(4, "int64"), FULL)
    assert (apart.one, apart.other, apart.label) == ("3", "4", True)
    assert difference(row(3, "int64"), row(3, "int64"), FULL) is None


def test_another_shape_is_a_difference():
    apart = difference(row([1.0, 2.0]), row([1.0]), FULL)
    assert (apart.one, apart.other) == ("of shape [2]", "of shape [1]")


@given(st.lists(st.floats(width=32), max_size=4))
def test_whatever_a_row_is_it_is_the_same_as_itself(values):
    assert difference(row(values), row(values), FULL) is None
