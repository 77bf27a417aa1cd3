"""Fields whose key in the records is no name of a column: `name: "sepal length (cm)"`."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.connectors.bigquery.input_rows import RowEncoder, input_problems
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.connectors.files import input_checks
from pipeline.errors import SpecError
from pipeline.formats.registry import FORMATS
from pipeline.launch.first_records import first_batch
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.spec.record import RecordSpec
from pipeline.spec.row_limits import row_limits
from tests.support import formats

AVRO_NAMES = {"a key": "a_key", "v": "v"}
# CSV strips the names in a header, and a name with a number at its end may be one of several.
keys = st.text("aB (),%.€'\"/-", min_size=1, max_size=6).filter(lambda key: key == key.strip())


def record(key="a key", **more):
    fields = {
        "x": {"dtype": "float32", "name": key},
        "v": {"dtype": "int64", "shape": [2]},
        "other": {"dtype": "string", "name": f"{key}!"},
    }
    return RecordSpec.model_validate({"id": f"{key}?", "fields": fields, **more})


def rows(key="a key"):
    return [{f"{key}?": f"r{i}", key: i + 0.5, "v": [i, 1], f"{key}!": f"t{i}"} for i in range(3)]


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=10)
@given(key=keys)
@example(key="")
def test_field_is_read_from_its_key_in_every_format(tmp_path_factory, format, key):
    path = formats.write(tmp_path_factory.mktemp("keys"), format, rows(key))
    assert list(input_checks.problems(str(path), "auto", record(key))) == []
    batch = first_batch(str(path), "auto", record(key), 5)
    assert batch.ids == ("r0", "r1", "r2")
    assert batch.columns.keys() == {"x", "v", "other"}
    assert batch.columns["x"].dtype == np.float32
    assert batch.columns["x"].tolist() == [0.5, 1.5, 2.5]
    assert batch.columns["other"].tolist() == ["t0", "t1", "t2"]


@pytest.mark.parametrize("format", FORMATS)
def test_id_may_be_in_the_column_without_a_name(tmp_path, format):
    spec = RecordSpec.model_validate({"id": "", "fields": {"n": {"dtype": "int64"}}})
    path = formats.write(tmp_path, format, [{"": f"row {i}", "n": i} for i in range(80)])
    assert list(input_checks.problems(str(path), "auto", spec)) == []
    assert first_batch(str(path), "auto", spec, 9).ids[:2] == ("row 0", "row 1")
    without = formats.write(tmp_path, format, [{"n": 1}], name="b")
    if FORMATS[format].check is not None:
        (problem,) = input_checks.problems(str(without), "auto", spec)
        assert "no column ''" in problem


@pytest.mark.parametrize("format", FORMATS)
def test_bad_value_names_the_key_and_costs_its_record_only(tmp_path, format):
    wrong = [row | {"v": row["v"] * (1 + (i == 1))} for i, row in enumerate(rows())]
    wrong = [{("n" if k == "v" else k): v for k, v in row.items()} for row in wrong]
    path = formats.write(tmp_path, format, wrong if format != "csv" else rows())
    if format == "csv":
        path.write_text(path.read_text().replace('"[1, 1]"', '"[1, 1, 1]"').replace(",v,", ",n,"))
    fields = {"list": {"dtype": "int64", "shape": [2], "name": "n"}}
    batch = first_batch(str(path), "auto", RecordSpec.model_validate({"fields": fields}), 5)
    assert batch.columns["list"].tolist() == [[0, 1], [2, 1]]
    (reject,) = batch.rejects
    assert "field 'n': found" in reject.error_message


@pytest.mark.parametrize("format", FORMATS)
def test_file_without_the_key_is_told_by_the_key(tmp_path, format):
    path = formats.write(tmp_path, format, [{"x": 0.5, "a key?": "r"}])
    fields = {"x": {"dtype": "float32", "name": "a key"}}
    found = list(input_checks.problems(str(path), "auto", RecordSpec(fields=fields)))
    batch = first_batch(str(path), "auto", RecordSpec(fields=fields), 5)
    assert batch is None
    assert all("a key" in problem for problem in found)


def test_columns_of_a_table_are_found_by_the_key():
    columns = [
        TableColumn("a key?", "STRING"),
        TableColumn("a key", "FLOAT64"),
        TableColumn("v", "INT64", repeated=True),
        TableColumn("a key!", "STRING"),
    ]
    assert list(input_problems(record(), columns)) == []
    encoded = RowEncoder(record(), ()).encode({"a key?": "r", "a key": 1.5, "v": [1, 2], "x": 3})
    assert encoded == b'{"a key?":"r","a key":1.5,"v":[1,2]}'


def test_two_fields_of_one_key_are_refused():
    fields = {"x": {"dtype": "int8", "name": "k"}, "k": {"dtype": "string"}}
    with pytest.raises(ValidationError, match="fields 'x' and 'k' have the key 'k'"):
        RecordSpec.model_validate({"fields": fields})


def test_keys_may_be_the_names_of_other_fields():
    fields = {"a": {"dtype": "int8", "name": "b"}, "b": {"dtype": "int8", "name": "a"}}
    spec = RecordSpec.model_validate({"id": "a", "fields": fields})
    assert spec.key_of == {"a": "b", "b": "a"}


@pytest.mark.parametrize("where", ["id", "pass_through"])
def test_id_and_pass_through_are_keys_and_no_names_of_fields(where):
    fields = {"x": {"dtype": "float32", "name": "a key"}}
    data = {
        "name": "e",
        "record": {"fields": fields} | ({"id": "x"} if where == "id" else {}),
        "models": [model({"x": "x"}, "onnx")],
        "pass_through": ["x"] if where == "pass_through" else [],
    }
    message = f"{where}: found the field 'x', expected its key 'a key'"
    with pytest.raises((ValidationError, SpecError), match=message):
        resolve(EnsembleSpec.model_validate(data))


def model(inputs, framework="sklearn"):
    return {
        "name": "m",
        "framework": framework,
        "uri": "m",
        "inputs": inputs,
        "outputs": {"predict": "p"},
    }


def test_columns_in_a_list_are_the_features_that_their_keys_are_called():
    fields = {"x": {"dtype": "float32", "name": "a key"}, "y": {"dtype": "int8"}}
    data = {"name": "e", "record": {"fields": fields}, "models": [model({"X": ["y", "x"]})]}
    (entry,) = EnsembleSpec.model_validate(data).models
    assert {tensor: bound.column for tensor, bound in entry.inputs.items()} == {
        "y": "y",
        "a key": "x",
    }
    data["models"] = [model({"x": "x", "y": "y"})]
    assert [*EnsembleSpec.model_validate(data).models[0].inputs] == ["x", "y"]


def test_whole_records_have_no_keys():
    fields = {"file": {"dtype": "bytes", "name": "k"}}
    with pytest.raises(ValidationError, match="`source: image` has no keys"):
        RecordSpec.model_validate({"source": "image", "fields": fields})


def test_what_is_passed_through_by_its_key_counts_as_declared():
    fields = {"x": {"dtype": "float32", "name": "a key"}}
    spec = RecordSpec.model_validate({"fields": fields})
    assert row_limits(0, spec, ["a key"]).block_rows > row_limits(0, spec, ["x"]).block_rows
