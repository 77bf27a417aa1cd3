"""What is kept of a column of each kind."""

import numpy as np

from pipeline.batch.columns import Ragged
from pipeline.report.statistics.columns import MOST_VALUES, column_statistics, merged


def test_floats_that_are_not_finite_are_counted_apart():
    found = column_statistics(np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32))
    assert (found.kind, found.rows, found.row_values) == ("float", 2, 2)
    assert (found.values.count, found.not_finite) == (2, 2)
    assert (found.values.least, found.values.greatest) == (1.0, 2.0)


def test_integers_and_booleans_are_numbers_of_their_kind():
    assert column_statistics(np.array([3, 3, 5], np.uint8)).kind == "integer"
    found = column_statistics(np.array([True, False, True]))
    assert (found.kind, found.values.counts.tolist()) == ("boolean", [1, 2])


def test_text_of_several_values_a_row_is_counted_by_value():
    found = column_statistics(np.array([["a", "b"], ["a", "c"]], object))
    assert found.labels.counts == {"a": 2, "b": 1, "c": 1}
    assert found.kind == "text"


def test_bytes_are_counted_as_escaped_text():
    found = column_statistics(np.array([b"ok", b"\xff"], object))
    assert found.labels.counts == {"ok": 1, "\\xff": 1}


def test_of_long_rows_evenly_spaced_values_are_counted():
    wide = np.arange(2 * 10 * MOST_VALUES).reshape(2, -1)
    found = column_statistics(wide)
    assert found.row_values == 10 * MOST_VALUES
    assert found.values.count == 2 * MOST_VALUES
    assert found.values.greatest == 2 * 10 * MOST_VALUES - 10


def test_ragged_rows_are_counted_like_dense_ones():
    rows = [np.arange(100), np.arange(3)]
    ragged = column_statistics(Ragged(rows))
    alone = [column_statistics(row[None, :]) for row in rows]
    assert ragged == merged(alone)
    assert ragged.row_values == 100


def test_column_that_changes_its_kind_is_of_the_wider_one():
    parts = [column_statistics(np.array([1])), column_statistics(np.array([0.5]))]
    assert merged(parts) == merged(parts[::-1])
    assert merged(parts).kind == "float"
    assert merged(parts).values.count == 2
