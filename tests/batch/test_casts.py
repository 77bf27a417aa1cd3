"""What a dtype cannot hold, compared with Python's own numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import casts
from pipeline.batch.columns import Ragged
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.errors import RowsError
from pipeline.spec.inputs import ConstantInput

EDGES = [0, 1, -1, 2**11, 2**11 + 1, 65504, 65505, 2**24, 2**24 + 1, 2**31, 2**53 + 1]
EDGES += [2**63 - 1, 2**63 - 512, -(2**63), 2**64 - 1, 2**64 - 1024]


def holds(value, dtype):
    """Whether a dtype holds a number, in exact arithmetic; a float may be rounded to a float."""
    if dtype == "bool":
        return value in (0, 1)
    if dtype in INTEGERS:
        bounds = np.iinfo(dtype)
        return (
            bool(np.isfinite(value)) and value == int(value) and bounds.min <= value <= bounds.max
        )
    with np.errstate(over="ignore"):
        made = np.dtype(dtype).type(value)
    if isinstance(value, int):
        return bool(np.isfinite(made)) and Fraction(float(made)) == value
    return bool(np.isfinite(made)) or not np.isfinite(value)


@pytest.mark.parametrize("want", [*INTEGERS, *FLOATS, "bool"])
@pytest.mark.parametrize("have", INTEGERS)
def test_integers_at_the_edge_of_a_dtype_are_told_apart(have, want):
    bounds = np.iinfo(have)
    for edge in EDGES:
        if bounds.min <= edge <= bounds.max:
            lost = casts.lost(np.array([edge, 0], have), want)
            assert (lost is None) == holds(edge, want), edge


@given(st.sampled_from(INTEGERS), st.sampled_from((*INTEGERS, *FLOATS, "bool")), st.data())
def test_integers_are_held_exactly_or_are_lost(have, want, data):
    bounds = np.iinfo(have)
    edges = [edge for edge in EDGES if bounds.min <= edge <= bounds.max]
    some = st.one_of(st.sampled_from(edges), st.integers(int(bounds.min), int(bounds.max)))
    values = data.draw(st.lists(some, min_size=1, max_size=5))
    lost = casts.lost(np.array(values, have), want)
    expected = [not holds(value, want) for value in values]
    assert (lost is None and not any(expected)) or lost.tolist() == expected


@given(st.sampled_from(FLOATS), st.sampled_from((*FLOATS, *INTEGERS, "bool")), st.data())
def test_floats_stay_finite_or_whole_or_are_lost(have, want, data):
    edges = [float(edge) for edge in EDGES] + [0.5, 1e300, -1e300, 70000.0, float("inf")]
    some = st.one_of(st.sampled_from(edges), st.floats(width=64, allow_nan=False))
    with np.errstate(over="ignore"):
        array = np.array(data.draw(st.lists(some, min_size=1, max_size=5))).astype(have)
    lost = casts.lost(array, want)
    expected = [not holds(value, want) for value in array.tolist()]
    assert (lost is None and not any(expected)) or lost.tolist() == expected


def test_clean_columns_are_not_looked_at_twice(monkeypatch):
    monkeypatch.setattr(casts, "changed", lambda *_: pytest.fail("looked at each value"))
    monkeypatch.setattr(casts, "overflowing", lambda *_: pytest.fail("looked at each value"))
    assert casts.lost(np.array([-(2**24), 2**24]), "float32") is None
    assert casts.lost(np.array([-3e38, 3e38]), "float32") is None
    assert casts.lost(np.array([np.nan, 3e38, np.nan, -3e38]), "float32") is None
    assert casts.lost(np.array([np.nan]), "float32") is None


@pytest.mark.parametrize("column", [np.ones(3, np.float32), Ragged([np.ones(2, np.float32)] * 3)])
def test_values_are_not_looked_at_where_a_dtype_holds_all_of_another(column, monkeypatch):
    monkeypatch.setattr(casts, "lost", lambda *_: pytest.fail("looked at the values"))
    assert casts.lost_rows(column, "float32") == {}
    assert casts.lost_rows(column, "float64") == {}


def test_ragged_rows_of_several_dtypes_are_looked_at():
    ragged = Ragged([np.ones(1, np.float32), np.array([1e300]), np.array([np.nan])])
    assert casts.lost_rows(ragged, "float32") == {1: 1e300}


def test_nan_hides_no_number_that_is_lost():
    assert casts.lost(np.array([np.nan, 1e300]), "float32").tolist() == [False, True]


def test_nan_is_held_by_every_float():
    assert casts.lost(np.array([np.nan, 1.0]), "float16") is None


def test_rows_are_named_by_their_first_number_that_is_lost():
    dense = np.array([[1, 2], [2**24 + 1, 2**24 + 3], [5, 2**25 + 1]])
    assert casts.lost_rows(dense, "float32") == {1: 2**24 + 1, 2: 2**25 + 1}
    ragged = Ragged([np.array([], int), np.array([1, 2**24 + 1]), np.array([], int), np.array([7])])
    assert casts.lost_rows(ragged, "float32") == {1: 2**24 + 1}
    assert casts.lost_rows(np.zeros((3, 0), int), "float16") == {}


def test_integers_are_not_rounded_beside_floats():
    with pytest.raises(RowsError) as refused:
        casts.check_join({"n": np.array([1, 2**53 + 1]), "x": np.array([0.5, 0.5])})
    assert refused.value.messages == {1: "found 9007199254740993 in 'n', which float64 cannot hold"}


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(16777217, "float32"), ([1.0004], "int32"), (1e39, "float32"), (70000, "float16")],
)
def test_constant_that_its_dtype_cannot_hold_is_refused(value, dtype):
    with pytest.raises(ValueError, match=f"is not a {dtype}"):
        ConstantInput(value=value, dtype=dtype)
    assert ConstantInput(value=0.1, dtype="float16").array() == np.float16(0.1)
