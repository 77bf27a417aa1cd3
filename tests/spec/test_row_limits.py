"""How many records travel together, where the user leaves it to the program."""

import pytest

from pipeline.spec.record import RecordSpec
from pipeline.spec.row_limits import RowLimits, row_limits


def record(**fields):
    return RecordSpec.model_validate({"fields": fields})


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({"x": {"dtype": "float32", "shape": [64]}}, 4096),
        ({"x": {"dtype": "float32", "shape": [4, 32]}, "n": {"dtype": "int64"}}, 4096),
        ({"x": {"dtype": "float64", "shape": [128]}}, 4096),
        ({"x": {"dtype": "float64", "shape": [128]}, "n": {"dtype": "int8"}}, 1024),
        ({"x": {"dtype": "float32", "shape": [3, 224, 224]}}, 1024),
        ({"x": {"dtype": "float32", "shape": [None]}}, 1024),
        ({"t": {"dtype": "string"}}, 1024),
        ({"n": {"dtype": "int8"}}, 4096),
        ({"t": {"dtype": "bytes"}, "n": {"dtype": "int8"}}, 1024),
        ({"t": {"dtype": "string"}, "n": {"dtype": "int8"}, "m": {"dtype": "bool"}}, 8192),
        ({"t": {"dtype": "bytes"}, "n": {"dtype": "int8"}, "m": {"dtype": "bool"}}, 1024),
        (
            {
                "t": {"dtype": "string"},
                "n": {"dtype": "int8"},
                "m": {"dtype": "bool", "shape": [2]},
            },
            1024,
        ),
    ],
)
def test_small_records_travel_in_thousands(fields, rows):
    assert row_limits(0, record(**fields)) == RowLimits(block_rows=rows, call_rows=1024)


def test_what_is_passed_through_undeclared_may_be_of_any_size():
    small = record(n={"dtype": "int8"}, m={"dtype": "int8", "shape": [2]})
    assert row_limits(0, small, ["n"]).block_rows == 4096
    assert row_limits(0, small, ["n", "other"]).block_rows == 1024


def test_what_the_user_says_counts():
    small = record(n={"dtype": "int8"})
    assert row_limits(7, small) == row_limits(7, small, streaming=True) == RowLimits(7, 7)


def test_in_a_stream_no_record_waits_for_thousands():
    assert row_limits(0, record(n={"dtype": "int8"}), streaming=True) == RowLimits(1024, 1024)


def test_quick_model_gets_a_whole_batch_in_one_call():
    assert row_limits(0, record(n={"dtype": "int8"})).quick_rows == 4096
