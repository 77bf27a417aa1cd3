"""How many records travel together, where the user leaves it to the program."""

import pytest

from pipeline.core.batch_rows import block_rows, call_rows
from pipeline.core.record_spec import RecordSpec


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
        ({"t": {"dtype": "bytes"}, "n": {"dtype": "int8"}}, 1024),
    ],
)
def test_small_records_travel_in_thousands(fields, rows):
    assert block_rows(0, record(**fields)) == rows


def test_what_is_passed_through_undeclared_may_be_of_any_size():
    small = record(n={"dtype": "int8"}, m={"dtype": "int8"})
    assert block_rows(0, small, ["n"]) == 4096
    assert block_rows(0, small, ["n", "other"]) == 1024


def test_what_the_user_says_counts():
    assert block_rows(7, record(n={"dtype": "int8"})) == 7
    assert (call_rows(7), call_rows(0)) == (7, 1024)
