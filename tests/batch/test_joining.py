"""What several calls return is joined without loss, or told row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import columns, joining
from pipeline.batch.columns import Ragged

NUMBERS = st.one_of(
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(-100, 100).map(np.int64),
    st.floats(allow_nan=False, width=32).map(np.float32),
    st.floats(allow_nan=False).map(np.float64),
    st.booleans().map(np.bool_),
)


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_each_number_is_the_same_afterwards_or_its_row_is_told(numbers):
    made, bad = joining.join([np.array([number]) for number in numbers])
    assert len(made) == len(numbers)
    assert 0 not in bad
    for row, number in enumerate(numbers):
        if row not in bad:
            assert made[row].item() == number.item()
            assert isinstance(made[row].item(), bool) == isinstance(number.item(), bool)


def test_integers_of_both_ranges_stay_integers():
    made, bad = joining.join([np.array([5]), np.array([2**63 + 1], np.uint64)])
    assert made.tolist() == [5, 2**63 + 1]
    assert not bad


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (np.full((2, 1), 8.0), "rank 1 and float64"),
        (np.array([True, False]), "rank 0 and bool"),
        (np.array([1, 2**53 + 1]), "rank 0 and int64"),
        (Ragged([np.zeros(1), np.zeros(2)]), "rank 1 and float64"),
    ],
)
def test_rows_of_another_form_are_told_with_found_and_expected(other, found):
    made, bad = joining.join([np.array([0.5]), other, np.array([1.5])])
    assert set(bad) == {1, 2}
    assert f"{found} here, expected rank 0 and float64" in bad[1]
    assert (made[0], made[3]) == (0.5, 1.5)


def test_parts_that_go_with_the_first_but_not_with_each_other_cost_their_rows():
    made, bad = joining.join([np.array([1]), np.array([0.5]), np.array([2**53 + 1])])
    assert set(bad) == {1}
    assert (made[0], made[2]) == (1, 2**53 + 1)


@pytest.mark.parametrize("empty", [np.empty((1, 0)), Ragged([np.empty(0)])])
@pytest.mark.parametrize("first", [True, False])
def test_empty_row_takes_the_form_of_the_others(empty, first):
    texts = Ragged([np.array([[b"a", b"b"]], object), np.array([[b"c", b"d"]] * 2, object)])
    made, bad = joining.join([empty, texts] if first else [texts, empty])
    assert not bad
    assert {(row.dtype, row.shape[1:]) for row in columns.iterate(made)} == {(np.dtype("O"), (2,))}
