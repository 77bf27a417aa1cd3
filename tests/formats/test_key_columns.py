"""Vectors whose values have a key each: `columns: pixel{0..783}`, `columns: [V1, V2]`."""

import csv
import io
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.backends.tables.names import features_of_field
from pipeline.batch.block import Block
from pipeline.batch.columns import values_of
from pipeline.connectors.bigquery.input_rows import RowEncoder, input_problems
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.formats.csv import header as csv_header
from pipeline.formats.format import Reading
from pipeline.formats.registry import FORMATS
from pipeline.launch.first_records import first_batch
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import ColumnsKey, column_names
from tests.support import formats


def record(columns="V{1..3}", shape=(3,), dtype="float32", **more):
    field = {"dtype": dtype, "shape": [*shape], "columns": columns, **more}
    return RecordSpec.model_validate({"fields": {"v": field}})


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("pixel{0..2}", ["pixel0", "pixel1", "pixel2"]),
        ("f{08..10}", ["f08", "f09", "f10"]),
        ("f{0..10}", [f"f{i}" for i in range(11)]),
        ("f{2..0}", ["f2", "f1", "f0"]),
        ("p{0..1}_{0..1}", ["p0_0", "p0_1", "p1_0", "p1_1"]),
        (("V{1..2}", "Amount", "hour{00..01}"), ["V1", "V2", "Amount", "hour00", "hour01"]),
        ("{a}..{1}", ["{a}..{1}"]),
    ],
)
def test_names_are_those_that_a_shell_makes(patterns, names):
    assert column_names(patterns) == tuple(names)


def test_many_names_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match="more than 100,000 names"):
        column_names("x{0..999999999}")


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"columns": "V{1..4}"}, "found 4 names, 'V1' to 'V4', expected 3"),
        ({"columns": "V{1..3}", "shape": []}, "such as `shape: \\[3\\]`"),
        ({"columns": "V{1..3}", "shape": [None]}, "a shape of known lengths"),
        ({"columns": ["a", "b", "a"]}, "found the name 'a' twice"),
        ({"columns": []}, "found no name"),
        ({"columns": "V{1..3}", "name": "v"}, "found the keys name and columns"),
    ],
)
def test_columns_that_do_not_fit_the_shape_are_refused(field, problem):
    with pytest.raises(ValidationError, match=problem):
        RecordSpec.model_validate({"fields": {"v": {"dtype": "int8", "shape": [3], **field}}})


def test_column_of_two_fields_is_refused():
    fields = {"v": {"dtype": "int8", "shape": [2], "columns": "V{1..2}"}, "V2": {"dtype": "int8"}}
    with pytest.raises(ValidationError, match="fields 'v' and 'V2' have the key 'V2'"):
        RecordSpec.model_validate({"fields": fields})


ROWS = [{"V1": i + 0.5, "V2": -1.0, "V3": 2.0, "Class": f"c{i}"} for i in range(3)]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1)])
def test_each_format_has_them_in_row_major_order(tmp_path, format, shape):
    path = formats.write(tmp_path, format, ROWS)
    spec = record(shape=shape)
    assert list(input_checks.problems(str(path), "auto", spec, ("V1",))) == []
    batch = first_batch(str(path), "auto", spec, 9)
    expected = np.array([[i + 0.5, -1, 2] for i in range(3)], "float32").reshape(3, *shape)
    assert np.array_equal(batch.columns["v"], expected)


@pytest.mark.parametrize("format", FORMATS)
def test_column_that_a_file_lacks_is_named(tmp_path, format):
    path = formats.write(tmp_path, format, ROWS)
    spec = record("V{1..4}", [4])
    problems = list(input_checks.problems(str(path), "auto", spec))
    if format in ("jsonl", "tfrecord"):  # whose records may differ
        assert first_batch(str(path), "auto", spec, 9) is None
    else:
        assert len(problems) == 1
        assert "no column 'V4'" in problems[0]


@pytest.mark.parametrize("format", ["csv", "parquet", "avro"])
@pytest.mark.parametrize("type", [None, "text"])
def test_many_columns_that_are_not_there_are_one_problem(tmp_path, format, type):
    spec = record("p{0..783}", [784])
    others = dict.fromkeys(spec.outer_keys(), type) if type and format != "csv" else {}
    path = formats.write(tmp_path, format, [{"V1": 1.5, **others}])
    (problem,) = input_checks.problems(str(path), "auto", spec)
    assert "columns 'p0', 'p1', " in problem
    assert ", ... (784 in all)" in problem
    assert len(problem) < 600


def test_many_columns_that_a_table_or_a_header_lacks_are_told_in_short():
    spec = record("p{0..783}", [784])
    (problem,) = input_problems(spec, [TableColumn("id", "INT64")])
    assert problem.endswith("'p11', ... (784 in all) are missing; the columns are id")
    (reject,) = decode("csv", b"1,2", spec, ("a", "b")).rejects
    assert "and no columns 'p0', " in reject.error_message
    assert len(reject.error_message) < 600


def test_wide_header_takes_a_time_that_grows_with_its_width():
    spec = record("p{0..19999}", [20_000])
    begin = time.process_time()
    assert list(csv_header.problems(spec, (), spec.outer_keys())) == []
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1)])
@pytest.mark.parametrize("format", FORMATS)
def test_bad_value_is_told_by_the_names_of_field_and_column(tmp_path, format, shape):
    path = formats.write(tmp_path, format, [ROWS[0] | {"V2": "x"}])
    part = FileRange(str(path), 0, path.stat().st_size, format)
    (block,) = read_range(part, Reading())
    (reject,) = FORMATS[format].decoder(record(shape=shape)).decode(block).rejects
    found = "bytes" if format == "tfrecord" else "the text 'x'"
    assert f"field 'v': found {found} in column 'V2', expected float32[" in reject.error_message


def decode(format, payload, spec, header=()):
    block = Block((payload,), "a", format=format, header=header)
    return FORMATS[format].decoder(spec).decode(block)


def test_record_that_lacks_one_is_a_dead_letter_that_names_it():
    (reject,) = decode("jsonl", b'{"V1": 1, "V2": 2}', record()).rejects
    assert reject.error_type == "missing_field"
    assert "field 'V3' is missing" in reject.error_message


def test_missing_value_is_nan_inside_of_floats_only():
    payload = b'{"V1": 1, "V2": null}'
    column = decode("jsonl", payload, record(missing="keep")).columns["v"]
    assert np.array_equal(values_of(column), [[1, np.nan, np.nan]], equal_nan=True)
    (reject,) = decode("jsonl", payload, record(dtype="int64", missing="keep")).rejects
    assert "field 'v': found null in column 'V2', expected int64[3]" in reject.error_message


def test_cells_without_a_number_are_missing(tmp_path):
    column = decode("csv", b"1,,NA", kept_words(), ("V1", "V2", "V3")).columns["v"]
    assert np.array_equal(values_of(column), [[1, np.nan, np.nan]], equal_nan=True)


def kept_words():
    field = {"dtype": "float32", "shape": [3], "columns": "V{1..3}", "missing": "keep"}
    return RecordSpec.model_validate({"csv": {"missing": ["NA"]}, "fields": {"v": field}})


@settings(max_examples=25, deadline=None)
@given(st.permutations(["id", "V1", "V2", "V3", "other"]), st.integers(1, 3))
def test_order_of_columns_in_csv_does_not_matter(header, count):
    columns = [f"V{i + 1}" for i in range(count)]
    row = {name: str(i) for i, name in enumerate(["V1", "V2", "V3", "id", "other"])}
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([row[name] for name in header])
    batch = decode("csv", text.getvalue().encode(), record(columns, [count]), tuple(header))
    assert batch.columns["v"].tolist() == [[*range(count)]]


def test_columns_of_bigquery_are_single_values():
    spec = record(missing="keep")
    found = [TableColumn(f"V{i}", "FLOAT64") for i in (1, 2, 3)]
    assert list(input_problems(spec, found)) == []
    assert list(input_problems(spec, found[:2])) == [
        "column 'V3' is missing; the columns are V1, V2"
    ]
    texts = [TableColumn(f"V{i}", "STRING", required=i == 1) for i in (1, 2, 3)]
    (problem,) = input_problems(spec, texts)
    assert problem.startswith("columns 'V1', 'V2', 'V3' are STRING, but the field is float32")
    payload = RowEncoder(spec, ()).encode({"V1": 1.5, "V2": float("nan"), "V3": 2, "x": 0})
    assert json.loads(payload) == {"V1": 1.5, "V2": None, "V3": 2}


def test_features_of_a_table_have_the_names_of_the_columns():
    features = features_of_field("v", ColumnsKey(("V1", "V2")), (2,))
    assert [feature.names for feature in features] == [("V1", "v_0"), ("V2", "v_1")]
    assert all(feature.is_named for feature in features)
