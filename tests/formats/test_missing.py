"""What counts as missing in each format: a row that lacks it, or a dead letter, as declared."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from pipeline.batch.block import Block
from pipeline.batch.columns import iterate, presence_of, values_of
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.formats.registry import FORMATS
from pipeline.spec.record import RecordSpec
from tests.support.formats import example

DTYPES = {"x": "float32", "n": "int32", "flag": "bool", "text": "string", "raw": "bytes"}
GOOD = {"x": 1.5, "n": 7, "flag": True, "text": "t", "raw": "YQ=="}


def record(missing, **more):
    fields = {name: {"dtype": dtype, "missing": missing} for name, dtype in DTYPES.items()}
    fields["v"] = {"dtype": "float64", "shape": [2], "missing": missing}
    return RecordSpec.model_validate({"fields": {**fields, **more}, "csv": {"missing": ["", "NA"]}})


def lines(rows):
    return tuple(json.dumps(row).encode() for row in rows)


def cells(rows):
    head = (*DTYPES, "v")
    shown = {None: "NA", True: "true"}
    return tuple(
        ",".join(
            f'"{json.dumps(row[name])}"'
            if isinstance(row[name], list)
            else str(shown.get(row[name], row[name]))
            for name in head
        ).encode()
        for row in rows
    )


def table(rows):
    kinds = {
        "x": pa.float64(),
        "n": pa.int64(),
        "flag": pa.bool_(),
        "text": pa.string(),
        "raw": pa.string(),
        "v": pa.list_(pa.float64()),
    }
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
    return ArrowRows(pa.RecordBatch.from_pydict(columns))


WAYS = {
    "jsonl": lines,
    "csv": cells,
    "parquet": table,
    "avro": lambda rows: JsonRows(tuple(rows)),
    "tfrecord": lambda rows: tuple(
        example({k: [] if v is None else v for k, v in r.items()}) for r in rows
    ),
}


def decode(format, rows, spec):
    header = (*DTYPES, "v") if format == "csv" else ()
    block = Block(WAYS[format](rows), "a", format=format, header=header)
    return FORMATS[format].decoder(spec).decode(block)


every_format = pytest.mark.parametrize("format", WAYS)
every_field = pytest.mark.parametrize("name", [*DTYPES, "v"])


@every_format
@every_field
def test_a_missing_value_is_a_row_that_lacks_it_if_the_field_keeps_it(format, name):
    good = {**GOOD, "v": [0.5, 2.0]}
    found = decode(format, [good, {**good, name: None}, good], record("keep"))
    assert not found.rejects
    for other in good:
        expected = [True, other != name, True]
        assert presence_of(found.columns[other]).tolist() == expected
    values = list(iterate(values_of(found.columns[name])))
    assert values[0].tolist() == values[2].tolist()
    assert not np.any(values[1].tolist())


@every_format
@every_field
def test_a_missing_value_is_a_dead_letter_by_default(format, name):
    good = {**GOOD, "v": [0.5, 2.0]}
    found = decode(format, [good, {**good, name: None}], record("dead_letter"))
    assert len(found) == 1
    assert [reject.error_type for reject in found.rejects] == [
        "wrong_shape" if format == "tfrecord" and name == "v" else "wrong_type"
    ]


def test_an_absent_key_is_missing_where_records_have_keys_of_their_own():
    for format in ("jsonl", "avro", "tfrecord"):
        rows = [{**GOOD, "v": [1.0, 2.0]}, {"text": "only"}]
        found = decode(format, rows, record("keep"))
        assert presence_of(found.columns["x"]).tolist() == [True, False]
        assert presence_of(found.columns["text"]).tolist() == [True, True]


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_nan_of_a_float_is_missing(format):
    good = {**GOOD, "v": [0.5, 2.0]}
    found = decode(format, [good, {**good, "x": float("nan")}], record("keep"))
    assert presence_of(found.columns["x"]).tolist() == [True, False]


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv", "avro"])
def test_null_inside_a_vector_of_floats_stays_as_nan(format):
    good = {**GOOD, "v": [0.5, 2.0]}
    found = decode(format, [good, {**good, "v": [None, 2.0]}], record("keep"))
    column = found.columns["v"]
    assert presence_of(column).all()
    assert np.array_equal(values_of(column), [[0.5, 2.0], [np.nan, 2.0]], equal_nan=True)


def test_null_inside_a_vector_of_integers_costs_the_record():
    spec = RecordSpec.model_validate(
        {"fields": {"v": {"dtype": "int64", "shape": [2], "missing": "keep"}}}
    )
    found = (
        FORMATS["jsonl"].decoder(spec).decode(Block((b'{"v": [1, null]}', b'{"v": [1, 2]}'), "a"))
    )
    assert len(found) == 1
    assert found.rejects[0].error_message == ("field 'v': found null at [1], expected int64[2]")


def test_infinity_is_a_number_that_no_field_takes():
    spec = record("keep")
    good = {**GOOD, "v": [0.5, 2.0]}
    found = decode("avro", [good, {**good, "x": float("inf")}, {**good, "x": Decimal("NaN")}], spec)
    assert [reject.error_type for reject in found.rejects] == ["not_finite"]
    assert presence_of(found.columns["x"]).tolist() == [True, False]


def test_spread_columns_of_a_csv_file_may_lack_each_value():
    spec = RecordSpec.model_validate(
        {"fields": {"v": {"dtype": "float32", "shape": [2], "missing": "keep"}}}
    )
    block = Block((b"1,2", b",2", b","), "a", format="csv", header=("v_0", "v_1"))
    found = values_of(FORMATS["csv"].decoder(spec).decode(block).columns["v"])
    assert np.array_equal(found, [[1, 2], [np.nan, 2], [np.nan] * 2], equal_nan=True)


def test_a_parquet_file_without_the_column_lacks_it_in_every_row():
    spec = RecordSpec.model_validate(
        {"fields": {"x": {"dtype": "float32", "missing": "keep"}, "n": {"dtype": "int8"}}}
    )
    rows = ArrowRows(pa.RecordBatch.from_pydict({"n": [1, 2]}))
    found = FORMATS["parquet"].decoder(spec).decode(Block(rows, "a", format="parquet"))
    assert presence_of(found.columns["x"]).tolist() == [False, False]


@every_format
def test_a_batch_without_rows_has_masked_columns(format):
    found = decode(format, [{**GOOD, "n": "no number", "v": [0.5, 1.0]}][:0], record("keep"))
    assert all(not len(presence_of(column)) for column in found.columns.values())


@pytest.mark.parametrize("format", ["avro", "parquet", "csv", "jsonl"])
def test_infinity_beside_what_is_missing_inside_a_vector_costs_the_record(format):
    good = {**GOOD, "v": [0.5, 2.0]}
    if format in ("csv", "jsonl"):  # JSON has no infinity, but numbers that no float32 holds
        spec = RecordSpec.model_validate(
            {"fields": {"v": {"dtype": "float32", "shape": [2], "missing": "keep"}}}
        )
        rows = ("1e39,", "0.5,2") if format == "csv" else ('{"v":[1e39,null]}', '{"v":[0.5,2]}')
        header = ("v_0", "v_1") if format == "csv" else ()
        payloads = tuple(row.encode() for row in rows)
        found = (
            FORMATS[format].decoder(spec).decode(Block(payloads, "a", format=format, header=header))
        )
    else:
        found = decode(format, [{**good, "v": [float("inf"), None]}, good], record("keep"))
    assert [reject.error_type for reject in found.rejects] == ["not_finite"]
    assert values_of(found.columns["v"]).tolist() == [[0.5, 2.0]]
