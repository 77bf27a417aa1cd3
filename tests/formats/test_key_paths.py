"""Values inside of objects: `path: [user, address, zip]`, of fields, ids and what is repeated."""

import io
import json
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.batch.block import Block
from pipeline.batch.columns import presence_of, values_of
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.connectors.bigquery.input_rows import RowEncoder, input_problems
from pipeline.connectors.bigquery.schema import column_of_api
from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.errors import SpecError
from pipeline.formats.format import Reading
from pipeline.formats.registry import FORMATS
from pipeline.spec import text
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import PathKey
from tests.support import formats

NESTING = [name for name, form in FORMATS.items() if form.nests]
FIELDS = {
    "zip": {"dtype": "int64", "path": ["user", "address", "zip"]},
    "dotted": {"dtype": "float32", "name": "user.zip"},
    "pair": {"dtype": "float32", "shape": [2], "path": ["user", "pair"]},
}
PASS_THROUGH = (PathKey(path=("user", "address", "city")), "note")


def record(fields=FIELDS, **more):
    return RecordSpec.model_validate({"id": {"path": ["user", "id"]}, "fields": fields, **more})


def row(i):
    address = {"zip": 1000 + i, "city": f"c{i}"}
    user = {"id": f"u{i}", "address": address, "pair": [i, 0.5]}
    return {"user": user, "user.zip": i + 0.5, "note": "n"}


def written(folder, format, rows):
    path = folder / f"a.{format}"
    if format == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif format == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(avro_bytes(rows))
    return str(path)


def avro_bytes(rows):
    address = {
        "type": "record",
        "name": "Address",
        "fields": [{"name": "zip", "type": "long"}, {"name": "city", "type": "string"}],
    }
    user = {
        "type": "record",
        "name": "User",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "address", "type": ["null", address]},
            {"name": "pair", "type": {"type": "array", "items": "float"}},
            {"name": "former", "type": ["null", "Address"], "default": None},
        ],
    }
    fields = [
        {"name": "user", "type": user},
        {"name": "user_zip", "type": "float"},
        {"name": "note", "type": "string"},
    ]
    sink = io.BytesIO()
    data = [{key.replace(".", "_"): value for key, value in row.items()} for row in rows]
    fastavro.writer(sink, {"type": "record", "name": "Row", "fields": fields}, data)
    return sink.getvalue()


def block_of(path, spec, pass_through=()):
    reading = Reading(keys=spec.outer_keys(pass_through), record=spec)
    part = FileRange(path, 0, Path(path).stat().st_size, path.rpartition(".")[2])
    (block,) = read_range(part, reading)
    return block


def decoded(path, spec, pass_through=()):
    format = path.rpartition(".")[2]
    block = block_of(path, spec, pass_through)
    return FORMATS[format].decoder(spec, pass_through).decode(block)


def of_format(format):
    """The fields; Avro has no names with dots in them."""
    dotted = {"dtype": "float32", "name": "user_zip" if format == "avro" else "user.zip"}
    return {**FIELDS, "dotted": dotted}


@pytest.mark.parametrize("format", NESTING)
def test_values_are_read_from_inside_of_objects(tmp_path, format):
    path = written(tmp_path, format, [row(i) for i in range(3)])
    spec = record(of_format(format))
    assert list(input_checks.problems(path, "auto", spec, PASS_THROUGH)) == []
    batch = decoded(path, spec, PASS_THROUGH)
    assert not batch.rejects
    assert batch.ids == ("u0", "u1", "u2")
    assert batch.columns["zip"].tolist() == [1000, 1001, 1002]
    assert batch.columns["dotted"].tolist() == [0.5, 1.5, 2.5]
    assert batch.columns["pair"].tolist() == [[0, 0.5], [1, 0.5], [2, 0.5]]
    assert json.loads(batch.pass_through[1]) == {"user.address.city": "c1", "note": "n"}


@pytest.mark.parametrize("format", NESTING)
@pytest.mark.parametrize(
    ("path", "found"),
    [
        (["user", "adress", "zip"], "has no column '[user, adress, zip]'; 'user' has id, address"),
        (["usr", "zip"], "has no column '[usr, zip]'; it has user"),
        (["user", "id", "zip"], "column 'user.id' is string, expected an object with 'zip'"),
        (["user", "pair", "0"], "expected an object with '0'"),
    ],
)
def test_schema_without_it_is_refused_at_launch(tmp_path, format, path, found):
    spec = record({"x": {"dtype": "int64", "path": path}})
    place = written(tmp_path, format, [row(0)])
    problems = "\n".join(input_checks.problems(place, "auto", spec))
    assert (found in problems) is (format != "jsonl")
    if format == "jsonl":  # known only of each record
        (reject,) = decoded(place, spec).rejects
        assert reject.error_type in ("missing_field", "wrong_type")


def decode_rows(format, rows, spec, pass_through=()):
    payloads = {
        "jsonl": lambda: tuple(json.dumps(row).encode() for row in rows),
        "avro": lambda: JsonRows(rows),
        "parquet": lambda: ArrowRows(pa.RecordBatch.from_pylist(rows)),
    }[format]()
    return FORMATS[format].decoder(spec, pass_through).decode(Block(payloads, "a", format=format))


MISSING = {"dtype": "int64", "path": ["a", "b", "c"]}


@pytest.mark.parametrize("format", NESTING)
def test_null_and_absent_objects_on_the_way_are_missing_values(format):
    rows = [{"a": {"b": {"c": 1}}}, {"a": {"b": None}}, {"a": None}, {"a": {"b": {"c": None}}}]
    rows += [] if format == "parquet" else [{"a": {}}, {}]
    kept = RecordSpec.model_validate({"fields": {"x": MISSING | {"missing": "keep"}}})
    batch = decode_rows(format, rows, kept, (PathKey(path=("a", "b", "c")),))
    assert not batch.rejects
    assert presence_of(batch.columns["x"]).tolist() == [True] + [False] * (len(rows) - 1)
    assert [*map(json.loads, batch.pass_through)][1:] == [{"a.b.c": None}] * (len(rows) - 1)
    whole = RecordSpec.model_validate({"fields": {"x": MISSING}})
    rejects = decode_rows(format, rows, whole).rejects
    assert [reject.error_type for reject in rejects] == ["wrong_type"] * 3 + ["missing_field"] * (
        len(rows) - 4
    )
    if format != "parquet":
        assert "'[a, b, c]' is missing; a has none" in rejects[3].error_message


def test_null_of_a_struct_hides_what_is_stored_below_it():
    inner = pa.StructArray.from_arrays(
        [pa.array([9, 1, 2, 3])], names=["c"], mask=pa.array([False, False, True, False])
    )
    outer = pa.StructArray.from_arrays(
        [inner], names=["b"], mask=pa.array([False, False, False, True])
    )
    table = pa.RecordBatch.from_arrays([outer], names=["a"]).slice(1)
    kept = RecordSpec.model_validate({"fields": {"x": MISSING | {"missing": "keep"}}})
    block = Block(ArrowRows(table), "a", format="parquet")
    column = FORMATS["parquet"].decoder(kept).decode(block).columns["x"]
    assert presence_of(column).tolist() == [True, False, False]
    assert values_of(column).tolist() == [1, 0, 0]


@pytest.mark.parametrize("format", NESTING)
@pytest.mark.parametrize("value", [[{"c": 1}], "text", 3])
@pytest.mark.parametrize("missing", [{}, {"missing": "keep"}])
def test_what_is_no_object_is_told_with_its_place(format, value, missing):
    spec = RecordSpec.model_validate({"fields": {"x": MISSING | missing}})
    (reject,) = decode_rows(format, [{"a": {"b": value}}], spec).rejects
    assert reject.error_type == "wrong_type"
    assert "field '[a, b, c]': found" in reject.error_message
    assert "at a.b, expected an object" in reject.error_message


def test_what_is_passed_through_needs_objects_too():
    spec = RecordSpec.model_validate({"fields": {"x": {"dtype": "int8"}}})
    batch = decode_rows("jsonl", [{"x": 1, "a": 3}], spec, (PathKey(path=("a", "b")),))
    assert "found the number 3 at a" in batch.rejects[0].error_message


def test_integers_of_any_size_inside_of_objects_are_repeated_as_they_came():
    fields = {"x": {"dtype": "int8"}}
    spec = RecordSpec.model_validate({"id": {"path": ["a", "id"]}, "fields": fields})
    rows = [{"x": 1, "a": {"id": 2**80, "n": 2**90}}]
    batch = decode_rows("jsonl", rows, spec, (PathKey(path=("a", "n")),))
    assert batch.ids == (str(2**80),)
    assert batch.pass_through == (b'{"a.n":%d}' % 2**90,)


def test_key_that_comes_twice_inside_is_told():
    spec = RecordSpec.model_validate({"fields": {"x": {"dtype": "int8", "path": ["a", "b"]}}})
    block = Block((b'{"a": {"b": 1, "b": 2}}',), "a")
    (reject,) = FORMATS["jsonl"].decoder(spec).decode(block).rejects
    assert reject.error_type == "doubled_key"


def test_struct_is_read_however_its_neighbours_look():
    """A value beside the one that is read may be one that Python has no object for."""
    far = pa.array([2**42, 2**42]).cast(pa.timestamp("s"))
    inner = pa.StructArray.from_arrays([pa.array([1, None]), far], names=["b", "when"])
    table = pa.RecordBatch.from_arrays([inner], names=["a"])
    spec = RecordSpec.model_validate({"fields": {"x": {"dtype": "int8", "path": ["a", "b"]}}})
    batch = FORMATS["parquet"].decoder(spec).decode(Block(ArrowRows(table), "a", format="parquet"))
    assert batch.columns["x"].tolist() == [1]
    assert "found null" in batch.rejects[0].error_message


@pytest.mark.parametrize("format", ["csv", "tfrecord"])
def test_formats_without_objects_refuse_paths_at_launch(tmp_path, format):
    path = formats.write(tmp_path, format, [{"user.zip": "1", "note": "2"}])
    problems = list(input_checks.problems(str(path), "auto", record(), PASS_THROUGH))
    for key in ("[user, address, zip]", "[user, id]", "[user, address, city]"):
        assert any(f"{format} has no objects" in p and key in p for p in problems), problems
    others = [p for p in problems if f"{format} has no objects" not in p]
    assert not others, "one mistake is one problem"


def test_csv_that_comes_later_is_dead_letters():
    spec = RecordSpec.model_validate({"fields": {"x": {"dtype": "int8", "path": ["a", "b"]}}})
    block = Block((b"1,2",), "a", format="csv", header=("a", "c"))
    (reject,) = FORMATS["csv"].decoder(spec).decode(block).rejects
    assert "found the text '1' at a, expected an object" in reject.error_message


COLUMNS = [
    {
        "name": "user",
        "type": "RECORD",
        "fields": [
            {"name": "id", "type": "INTEGER"},
            {"name": "n", "type": "FLOAT"},
            {"name": "v", "type": "JSON"},
            {"name": "many", "type": "RECORD", "mode": "REPEATED", "fields": []},
        ],
    }
]


def test_bigquery_structs_are_descended_into():
    columns = [column_of_api(column) for column in COLUMNS]
    fields = {
        "n": {"dtype": "float32", "path": ["user", "n"], "missing": "keep"},
        "v": {"dtype": "float32", "shape": [2], "path": ["user", "v"]},
    }
    spec = record(fields)
    assert list(input_problems(spec, columns)) == []
    rows = {"user": {"id": 7, "n": float("nan"), "v": "[1, 2]"}}
    payload = RowEncoder(spec, ()).encode(rows)
    assert rows["user"]["v"] == "[1, 2]"  # what the row holds is left as it is
    batch = FORMATS["jsonl"].decoder(spec).decode(Block((payload,), "t"))
    assert batch.ids == (7,)
    assert presence_of(batch.columns["n"]).tolist() == [False]
    assert batch.columns["v"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (["user", "x"], "column '[user, x]' is missing; 'user' has id, n, v, many"),
        (["user", "v", "x"], "column 'user.v' is JSON, expected a STRUCT with 'x'"),
        (["user", "many", "x"], "column 'user.many' is REPEATED RECORD, expected a STRUCT"),
        (["user", "id"], "column '[user, id]' is INT64, but the field is string"),
    ],
)
def test_bigquery_columns_that_are_no_structs_are_refused(path, problem):
    spec = RecordSpec.model_validate({"fields": {"x": {"dtype": "string", "path": path}}})
    assert any(problem in p for p in input_problems(spec, map(column_of_api, COLUMNS)))


ENSEMBLE = """
name: e
record:
  id: {id}
  fields:
    x: {field}
models:
  - {{name: m, framework: onnx, uri: m, inputs: {{x: x}}, outputs: {{y: y}}}}
pass_through: {pass_through}
"""


def ensemble(field="{dtype: int8}", id="a", pass_through="[]"):
    return text.parse(
        ENSEMBLE.format(field=field, id=id, pass_through=pass_through), source="e.yaml"
    )


def test_ensemble_file_has_paths():
    spec = ensemble("{dtype: int8, path: [a, b]}", "{path: [a, id]}", "[{path: [a, c]}, d]")
    assert spec.record.outer_keys(spec.pass_through) == ("a", "d")
    assert EnsembleSpec.model_validate_json(spec.model_dump_json()) == spec
    assert ensemble("{dtype: int8, path: [b]}").record.key_of == {"x": "b"}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"field": "{dtype: int8, path: [a, b], name: c}"}, "found the keys name and path"),
        ({"field": "{dtype: int8, path: [a, 0]}"}, "found 0, expected text"),
        ({"field": "{dtype: int8, path: []}"}, "expected at least one entry"),
        ({"id": "[a, b]"}, "expected text or a mapping"),
        ({"id": "{pth: [a, b]}"}, "unknown key 'pth'; did you mean 'path'?"),
        ({"pass_through": "[a.b, {path: [a, b]}]"}, "both repeated as 'a.b'"),
        (
            {"field": "{dtype: int8, path: [a, b], missing: keep}", "id": "{path: [a, b]}"},
            "field 'x' holds the record's id",
        ),
        ({"field": "{dtype: int8, path: [a, b]}", "id": "x"}, "expected its key {path: [a, b]}"),
    ],
)
def test_what_is_meant_otherwise_is_refused(keys, problem):
    with pytest.raises(SpecError) as error:
        ensemble(**keys)
    assert problem in str(error.value)


def test_two_fields_of_one_path_are_refused_and_a_key_with_dots_is_another():
    fields = {"x": {"dtype": "int8", "path": ["a", "b"]}}
    with pytest.raises(ValidationError, match=r"fields 'x' and 'y' have the key \{path: \[a, b\]"):
        RecordSpec.model_validate({"fields": {**fields, "y": fields["x"]}})
    RecordSpec.model_validate({"fields": {**fields, "y": {"dtype": "int8", "name": "a.b"}}})


def test_values_that_no_path_leads_through_are_not_read(tmp_path):
    path = written(tmp_path, "parquet", [row(0)])
    spec = RecordSpec.model_validate({"fields": {"x": FIELDS["zip"]}})
    assert block_of(path, spec).payloads.table.schema.names == ["user"]
    assert np.array_equal(values_of(decoded(path, spec).columns["x"]), [1000])
