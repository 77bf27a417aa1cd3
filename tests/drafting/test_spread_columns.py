"""Numbered columns are one vector, written as the pattern that stands for them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drafting.spread_columns import families, pattern_of, seen_together
from pipeline.formats.record_sample import values_by_key
from pipeline.spec.record.keys import ColumnsKey, PathKey, column_names


@pytest.mark.parametrize(
    "pattern",
    [
        "pixel{0..783}",
        "V{1..28}",
        "x_{1..3}",
        "{1..28}x{1..28}",
        "f{00..27}",
        "q{1..4}_2020",
        "x[{0..1}]",
        f"q{'7' * 4401}_{{0..11}}",
    ],
)
def test_names_are_found_in_any_order_and_stand_for_themselves(pattern):
    names = list(column_names(pattern))
    (found,) = families(random.Random(0).sample(names, len(names)))
    assert found == ColumnsKey(tuple(names))
    assert pattern_of(names) == pattern


@given(
    st.text("ab_{}.", max_size=3),
    st.integers(0, 12),
    st.integers(2, 12),
    st.text("ab_{}.", max_size=3),
)
def test_a_pattern_never_stands_for_other_names(before, first, count, behind):
    names = [f"{before}{i}{behind}" for i in range(first, first + count)]
    pattern = pattern_of(names)
    assert pattern is None or list(column_names(pattern)) == names


@pytest.mark.parametrize(
    "keys",
    [["x1"], ["x1", "x3"], ["a", "b"], ["x1", "y2"], ["x1_1", "x2_2"], [PathKey(path=("a", "x1"))]],
)
def test_names_that_do_not_count_are_none(keys):
    assert families(keys) == []


def test_two_families_and_what_stands_beside():
    keys = ["label", "V1", "V2", "Amount", "x_1", "x_2"]
    assert families(keys) == [ColumnsKey(("V1", "V2")), ColumnsKey(("x_1", "x_2"))]


def test_values_are_numbers_that_may_lack_in_part_or_all():
    records = [{"x1": 1, "x2": 2.5}, {"x1": None, "x2": 1}, {"x1": None, "x2": None}, {"x1": 2}]
    seen = values_by_key(records)
    found = seen_together(ColumnsKey(("x1", "x2")), seen, records)
    assert (found.kind, found.shape, found.records, found.incomplete) == ("number", (2,), 3, 2)


@pytest.mark.parametrize("values", [("a", "b"), (1, "b"), ([1], [2]), (True, False)])
def test_other_values_are_no_vector(values):
    records = [dict(zip(("x1", "x2"), values, strict=True))]
    assert seen_together(ColumnsKey(("x1", "x2")), values_by_key(records), records) is None
