"""Columns of rows of one shape and of several."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch import columns
from pipeline.batch.columns import Ragged
from pipeline.errors import RowsError

INT_ROWS = st.lists(hnp.arrays("int16", st.integers(0, 3)), min_size=1, max_size=8)
TEXT_ROWS = st.lists(
    hnp.arrays(object, st.integers(0, 3), elements=st.text(max_size=3)), min_size=1, max_size=8
)
ROWS = INT_ROWS | TEXT_ROWS


def assert_rows(column, expected):
    found = list(columns.iterate(column))
    assert len(found) == len(column) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert row.dtype == wanted.dtype
        np.testing.assert_array_equal(row, wanted)


@given(rows=ROWS)
def test_rows_come_back_as_they_went_in_and_are_dense_when_alike(rows):
    column = columns.from_rows(rows)
    assert_rows(column, rows)
    assert isinstance(column, Ragged) == (len({row.shape for row in rows}) > 1)


def test_single_values_come_back_as_arrays_without_axis():
    for column in (np.array([1, 2]), np.array(["a", "b"], dtype=object)):
        rows = list(columns.iterate(column))
        assert [(row.shape, row.dtype) for row in rows] == [((), column.dtype)] * 2
        np.testing.assert_array_equal(columns.from_rows(rows), column)


@given(rows=ROWS, data=st.data())
def test_take_picks_rows_in_the_given_order(rows, data):
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    taken = columns.take(columns.from_rows(rows), np.array(picked, dtype=np.intp))
    assert_rows(taken, [rows[i] for i in picked])


@given(rows=ROWS, data=st.data())
def test_concatenate_undoes_a_split(rows, data):
    column = columns.from_rows(rows)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [columns.take(column, np.arange(*ends)) for ends in ((0, cut), (cut, len(rows)))]
    assert_rows(columns.concatenate(parts), rows)


@given(rows=INT_ROWS)
def test_pad_fills_each_row_at_its_end_up_to_the_longest(rows):
    longest = max(len(row) for row in rows)
    padded = columns.pad(Ragged(rows), 7)
    assert padded.dtype == rows[0].dtype
    assert padded.tolist() == [row.tolist() + [7] * (longest - len(row)) for row in rows]


def test_pad_fills_the_variable_axis_wherever_it_is():
    padded = columns.pad(Ragged([np.ones((2, n)) for n in (1, 3)]), 0)
    assert padded.tolist() == [[[1, 0, 0]] * 2, [[1, 1, 1]] * 2]


@given(rows=INT_ROWS)
def test_apply_by_shape_calls_once_for_each_shape_and_keeps_the_order(rows):
    shapes = []

    def double(dense):
        shapes.append(dense["x"].shape[1:])
        return {"twice": dense["x"] * 2, "number": dense["number"]}

    column = {"x": Ragged(rows), "number": np.arange(len(rows))}
    result = columns.apply_by_shape(double, column)
    assert_rows(result["twice"], [row * 2 for row in rows])
    assert result["number"].tolist() == list(range(len(rows)))
    assert shapes == list(dict.fromkeys(row.shape for row in rows))


def test_apply_by_shape_reports_failed_rows_of_all_groups_by_their_own_index():
    def fail_on_negative(dense):
        bad = np.flatnonzero((dense["x"] < 0).any(axis=1))
        if bad.size:
            raise RowsError({int(row): f"{dense['x'][row].tolist()}" for row in bad})
        return dense

    rows = Ragged(np.array(row) for row in ([1, 2], [-3], [4, -5], [6], [7, 8, 9]))
    with pytest.raises(RowsError) as caught:
        columns.apply_by_shape(fail_on_negative, {"x": rows})
    assert caught.value.messages == {1: "[-3]", 2: "[4, -5]"}
