"""Kinds and shapes of values, told from the first records."""

import pytest

from pipeline.batch.exact_number import ExactNumber
from pipeline.formats.record_sample import (
    Seen,
    from_cell,
    from_cells,
    missing_words,
    values_by_key,
    without_words,
)
from pipeline.spec.record.keys import PathKey


def seen(*values):
    return values_by_key([{"k": value} for value in values])["k"]


@pytest.mark.parametrize(
    ("values", "kind", "shape"),
    [
        ((1, 2), "integer", ()),
        ((1, 2.5), "number", ()),
        ((True, False), "bool", ()),
        (("a", "b"), "text", ()),
        ((b"text", b"more"), "text", ()),
        ((b"\xff\xfe",), "bytes", ()),
        (([1, 2], [3.5, 4]), "number", (2,)),
        (([1, 2], [3]), "integer", (None,)),
        (([[1, 2], [3, 4]], [[5, 6], [7, 8]]), "integer", (2, 2)),
        (([[1], [2, 3]],), "integer", (2, None)),
        (([], [1]), "integer", (None,)),
        ((0.5, ExactNumber("1e400")), "number", ()),
        ((1, "a"), "mixed", ()),
        ((True, 1), "mixed", ()),
        (([1, "a"],), "mixed", (2,)),
        (({},), "mixed", ()),
        (({"a": 1}, 2), "mixed", ()),
        (([1], 2), "mixed", ()),
        (([[1], 2],), "mixed", (2,)),
    ],
)
def test_kind_and_shape_are_those_of_all_records(values, kind, shape):
    found = seen(*values)
    assert (found.kind, found.shape) == (kind, shape)


def test_values_inside_of_objects_are_under_paths():
    records = [
        {"user": {"id": 1, "address": {"zip": "x"}}, "n": {}},
        {"user": {"id": 2, "address": None}, "n": {"": 1}},
        {"user": None},
    ]
    found = values_by_key(records)
    assert [str(key) for key in found] == ["[user, id]", "[user, address, zip]", "n"]
    assert found[PathKey(path=("user", "id"))] == Seen("integer", (), 2, distinct=True)
    assert found[PathKey(path=("user", "address", "zip"))].records == 1


def test_objects_beside_other_values_are_not_looked_into():
    found = values_by_key([{"a": {"b": {"c": 1}}}, {"a": {"b": 2}}, {"a": {"d": 3}}])
    assert {str(key): seen.kind for key, seen in found.items()} == {
        "[a, b]": "mixed",
        "[a, d]": "integer",
    }


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [
        ("0,5", ",", 0.5),
        ("1.5", ",", "1.5"),
        ("1.234,5", ",", "1.234,5"),
        ("7", ",", 7),
        ("0,5", ".", "0,5"),
        (".5", ".", 0.5),
        ("+5", ".", 5),
        ("1e-3", ".", 0.001),
        ("007", ".", "007"),
        ("1e", ".", "1e"),
        ("NaN", ".", "NaN"),
        ("1" * 4401, ".", "1" * 4401),
        ("-" + "1" * 4401, ".", "-" + "1" * 4401),
        ("1" * 30, ".", int("1" * 30)),
    ],
)
def test_cells_are_numbers_where_a_field_of_numbers_reads_them(cell, decimal, value):
    assert from_cell(cell, decimal) == value


def test_nulls_do_not_count_and_missing_keys_neither():
    found = values_by_key([{"a": None, "b": 1}, {"a": 2}, {}])
    assert found["a"] == Seen("integer", (), 1, distinct=True)
    assert found["b"].records == 1


def test_keys_come_in_the_order_of_the_records_also_where_the_first_has_no_value():
    records = [{"a": 1, "b": None, "c": 2, "none": None}, {"a": 1, "b": 3, "c": None, "d": 0}]
    assert [*values_by_key(records)] == ["a", "b", "c", "d"]


def test_values_are_distinct_when_no_two_are_the_same():
    assert seen("a", "b").distinct
    assert not seen("a", "b", "a").distinct


@pytest.mark.parametrize(
    ("value", "dtypes"),
    [
        (1, {"int64", "float32"}),
        (1.5, {"float32"}),
        ("a", {"string"}),
        (b"\xff", {"bytes"}),
        (True, {"bool"}),
        ({}, set()),
    ],
)
def test_values_can_be_fields_of_some_dtypes_only(value, dtypes):
    of_interest = {"int64", "float32", "string", "bytes", "bool"}
    assert {dtype for dtype in of_interest if seen(value).can_be(dtype)} == dtypes


def test_cells_stand_for_what_json_would_have():
    row = {"a": "1", "b": "1.5", "c": "[1, 2]", "d": "true", "e": "text", "f": " ", "g": '{"x": 1}'}
    assert from_cells(row) == {
        "a": 1,
        "b": 1.5,
        "c": [1, 2],
        "d": True,
        "e": "text",
        "f": None,
        "g": '{"x": 1}',
    }


@pytest.mark.parametrize("form", ["x_{}", "x.{}", "x[{}]"])
def test_numbered_columns_are_one_list_in_the_order_of_their_numbers(form):
    row = {form.format(i): str(i) for i in (*range(1, 11), 0)}
    assert from_cells(row) == {"x": list(range(11))}


@pytest.mark.parametrize(
    "names",
    [["x_1", "x_2"], ["x_0"], ["x_0", "x_2"], ["x", "x_0", "x_1"], ["x_0", "x_" + "1" * 4401]],
)
def test_columns_that_are_not_numbered_from_0_on_stay_apart(names):
    assert list(from_cells(dict.fromkeys(names, "1"))) == names


def test_null_inside_a_list_says_nothing_of_its_kind_and_is_counted():
    records = [{"v": [None, 1.5]}, {"v": [2.5, 1]}, {"v": None}, {"v": [[None]]}]
    seen = values_by_key(records[:3])["v"]
    assert (seen.kind, seen.shape, seen.records, seen.incomplete) == ("number", (2,), 2, 1)
    assert values_by_key(records[3:])["v"].kind == "mixed"


def test_nan_is_no_value():
    seen = values_by_key(
        [{"x": 1.5, "v": [float("nan"), 2.0]}, {"x": float("nan"), "v": [1.0, 2.0]}]
    )
    assert (seen["x"].records, seen["v"].incomplete) == (1, 1)


def test_words_beside_numbers_that_mean_missing_are_found_and_left_out():
    rows = [{"x": "1.5", "t": "NA"}, {"x": " NA", "t": "b"}, {"x": "", "t": "c"}]
    records = [from_cells(row) for row in rows]
    assert missing_words(records) == ("NA",)
    seen = values_by_key(without_words(records, ("NA",)))
    assert (seen["x"].kind, seen["x"].records, seen["t"].records) == ("number", 1, 2)


def test_a_column_of_text_alone_has_no_such_words():
    records = [from_cells({"t": text}) for text in ("NA", "None", "-")]
    assert missing_words(records) == ()
    mixed = [from_cells({"t": text}) for text in ("1", "unknown")]
    assert missing_words(mixed) == ()
