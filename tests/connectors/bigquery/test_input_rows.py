"""Rows of tables as records: columns that fit, and the JSON that becomes of values."""

import datetime
import json
from decimal import Decimal

import pytest

from pipeline.connectors.bigquery.input_rows import RowEncoder, input_problems
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import PathKey


def record(**fields):
    return RecordSpec.model_validate({"id": "id", "fields": fields})


ID = TableColumn("id", "INT64")


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ({"dtype": "float32"}, TableColumn("x", "INT64")),
        ({"dtype": "float64", "shape": [4]}, TableColumn("x", "FLOAT64", repeated=True)),
        ({"dtype": "float64", "shape": [2, 2]}, TableColumn("x", "FLOAT64", repeated=True)),
        ({"dtype": "float64", "shape": [2, 2]}, TableColumn("x", "JSON")),
        ({"dtype": "string"}, TableColumn("x", "TIMESTAMP")),
        ({"dtype": "bytes"}, TableColumn("x", "BYTES")),
    ],
)
def test_columns_that_a_field_can_be_read_from(field, column):
    assert list(input_problems(record(x=field), [ID, column])) == []


@pytest.mark.parametrize(
    ("field", "column", "says"),
    [
        ({"dtype": "int32"}, TableColumn("x", "FLOAT64"), "is FLOAT64, but the field is int32"),
        ({"dtype": "float32"}, TableColumn("x", "FLOAT64", repeated=True), "is REPEATED FLOAT64"),
        (
            {"dtype": "float32", "shape": [4]},
            TableColumn("x", "FLOAT64"),
            "but the field is float32[4], which needs REPEATED FLOAT64 or INT64 or NUMERIC or "
            "BIGNUMERIC, or JSON",
        ),
    ],
)
def test_columns_that_a_field_cannot_be_read_from(field, column, says):
    (problem,) = input_problems(record(x=field), [ID, column])
    assert says in problem


def test_missing_columns_and_ids_of_other_types_are_refused():
    found = [TableColumn("id", "FLOAT64"), TableColumn("y", "STRING")]
    assert list(input_problems(record(x={"dtype": "float32"}), found)) == [
        "column 'x' is missing; the columns are id, y",
        "column 'id' is FLOAT64, but an id needs STRING or INT64",
    ]


def test_path_of_pass_through_that_leads_into_no_struct_is_refused():
    found = [ID, TableColumn("v", "STRING"), TableColumn("s", "RECORD", fields=(ID,))]
    spec = RecordSpec.model_validate({"fields": {"id": {"dtype": "int64"}}})
    paths = [PathKey(path=path) for path in (("v", "zip"), ("s", "zip"), ("none", "zip"))]
    (problem,) = input_problems(spec, found, ["none", *paths])
    assert problem.startswith("column 'v' is STRING, expected a STRUCT with 'zip'")


def encoded(row, pass_through=(), **fields):
    record = RecordSpec.model_validate({"id": "id", "fields": fields or {"x": {"dtype": "int64"}}})
    return json.loads(RowEncoder(record, pass_through).encode(row))


def test_record_holds_only_the_columns_that_the_ensemble_reads():
    row = {"id": 1, "x": 2, "city": "Oslo", "unused": "x" * 1000}
    assert encoded(row, ["city"]) == {"id": 1, "x": 2, "city": "Oslo"}


def test_values_without_a_json_form_get_one():
    extras = {
        "bytes": b"\xff\x00",
        "whole": Decimal("12.000"),
        "part": Decimal("1.25"),
        "huge": Decimal(2) ** 70,
        "at": datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
        "day": datetime.date(2026, 1, 2),
    }
    found = encoded({"id": 1, "x": 2, **extras}, list(extras))
    assert {key: found[key] for key in extras} == {
        "bytes": "/wA=",
        "whole": 12,
        "part": 1.25,
        "huge": 2.0**70,
        "at": "2026-01-02T03:00:00+00:00",
        "day": "2026-01-02",
    }


def test_null_stays_null_and_nan_is_said_to_be_nan():
    vector = {"dtype": "float64", "shape": [3]}
    row = {"id": None, "x": [1.0, float("nan"), float("-inf")]}
    assert encoded(row, x=vector) == {"id": None, "x": [1.0, "NaN", "-Infinity"]}


def test_field_with_axes_is_read_from_json_or_a_flat_list():
    matrix = {"dtype": "int64", "shape": [2, 2]}
    assert encoded({"id": 1, "x": "[[1, 2], [3, 4]]"}, x=matrix)["x"] == [[1, 2], [3, 4]]
    assert encoded({"id": 1, "x": [1, 2, 3, 4]}, x=matrix)["x"] == [[1, 2], [3, 4]]
    assert encoded({"id": 1, "x": "not json"}, x=matrix)["x"] == "not json"
    assert encoded({"id": 1, "x": "[1]"}, x={"dtype": "string"})["x"] == "[1]"


def test_null_and_nan_are_null_where_a_field_may_lack_values():
    kept = {"dtype": "float64", "missing": "keep"}
    rows = RowEncoder(record(x=kept, v={**kept, "shape": [2]}), ())
    found = json.loads(rows.encode({"id": 1, "x": float("nan"), "v": []}))
    assert (found["x"], found["v"]) == (None, None)  # BigQuery keeps a NULL list as an empty one
    found = json.loads(rows.encode({"id": 1, "x": float("inf"), "v": [float("nan"), 1.0]}))
    assert (found["x"], found["v"]) == ("Infinity", [None, 1.0])
