"""Names, types, ids of columns: what refuses a first file costs a later one its records."""

import decimal
import io
import uuid

import fastavro
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.format import Reading
from pipeline.formats.registry import decoders
from pipeline.spec.record import RecordSpec

RECORD = RecordSpec.model_validate(
    {"id": "id", "fields": {"x": {"dtype": "float32"}, "v": {"dtype": "float64", "shape": [2]}}}
)
ONE = decimal.Decimal("1.50")


def avro(fields, *rows):
    sink = io.BytesIO()
    schema = {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in fields]}
    fastavro.writer(sink, schema, rows)
    return sink.getvalue()


def parquet(*columns):
    table = pa.Table.from_arrays(
        [pa.array(v, t) for _, v, t in columns], [n for n, _, _ in columns]
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def outcome(path):
    """What launch says, and the batch of the file."""
    told = list(input_checks.problems(str(path), "auto", RECORD, ("note",)))
    keys = ("id", "x", "v", "note")
    (file,) = match_input(str(path))
    (part,) = split_file(file, 1 << 20)
    (block,) = read_range(part, Reading(64, keys=keys, record=RECORD))
    assert block.error is None
    return told, decoders(RECORD, ("note",))[block.format].decode(block)


LIST = {"type": "array", "items": "double"}
V = ("v", [[1.0, 2.0]], pa.list_(pa.float64()))
DOUBLED = {
    "parquet": {
        name: parquet(
            ("id", ["a"], None), ("x", [1.0], None), V, ("note", ["n"], None), (name, *again)
        )
        for name, again in {"x": ([9.0], None), "id": (["b"], None), "note": (["m"], None)}.items()
    },
    "avro": {
        name: avro(
            [("id", "string"), ("x", "double"), ("v", LIST), ("note", "string"), (name, again)],
            {"id": "a", "x": 1.0, "v": [1.0, 2.0], "note": "n"},
        )
        for name, again in {"x": "double", "id": "string", "note": "string"}.items()
    },
}


@pytest.mark.parametrize("name", ["x", "id", "note"])
@pytest.mark.parametrize("format", DOUBLED)
def test_column_that_is_there_twice_is_refused_and_no_value_wins(tmp_path, format, name):
    path = tmp_path / f"a.{format}"
    path.write_bytes(DOUBLED[format][name])
    told, batch = outcome(path)
    kind = "columns" if format == "parquet" else "fields"
    assert told == [f"{path}: has 2 {kind} '{name}'"]
    (reject,) = batch.rejects
    assert f"has 2 {kind} '{name}'" in reject.error_message
    assert len(batch) == 0
    assert reject.payload
    if format == "parquet":  # Avro allows no such schema
        assert reject.record_id == (None if name == "id" else "a")


LACKING = {
    "parquet": parquet(("id", ["a"], None), ("y", [1.0], None), ("other", [b"\xff"], None)),
    "avro": avro(
        [("id", "string"), ("y", "double"), ("other", "bytes")],
        {"id": "a", "y": 1.0, "other": b"\xff"},
    ),
}


@pytest.mark.parametrize("format", LACKING)
def test_record_that_lacks_a_column_has_a_payload_with_all_others(tmp_path, format):
    path = tmp_path / f"a.{format}"
    path.write_bytes(LACKING[format])
    (reject,) = outcome(path)[1].rejects
    assert (reject.record_id, reject.error_type) == ("a", "missing_field")
    assert orjson.loads(reject.payload) == {"id": "a", "y": 1.0, "other": "/w=="}


UUID = uuid.UUID(int=2**100)
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}
IDS = [
    (7, pa.int8(), "int", 7),
    (2**64 - 1, pa.uint64(), None, 2**64 - 1),
    ("é", pa.large_string(), "string", "é"),
    ("a", pa.string_view(), None, "a"),
    ("a", pa.dictionary(pa.int8(), pa.string()), None, "a"),
    (b"a", pa.binary(), "bytes", "a"),
    (decimal.Decimal("1" + "0" * 30), pa.decimal128(38, 0), None, "1" + "0" * 30),
    (decimal.Decimal("1.50"), pa.decimal128(9, 2), DECIMAL, "1.50"),
    (UUID.bytes, pa.uuid(), None, str(UUID)),
    (UUID, None, {"type": "string", "logicalType": "uuid"}, str(UUID)),
    (1.0, pa.float64(), "double", None),
    (True, pa.bool_(), "boolean", None),
    (0, pa.timestamp("us"), {"type": "long", "logicalType": "timestamp-micros"}, None),
    (b"\xff", pa.binary(), "bytes", None),
]


@pytest.mark.parametrize(("value", "arrow", "avro_type", "expected"), IDS)
def test_ids_are_text_and_integers_of_any_kind_and_others_are_refused_by_type(
    tmp_path, value, arrow, avro_type, expected
):
    files = {}
    if arrow is not None:
        files["parquet"] = parquet(("id", [value], arrow), ("x", [1.0], None), V)
    if avro_type is not None:
        row = {"id": value, "x": 1.0, "v": [1.0, 2.0]}
        files["avro"] = avro([("id", avro_type), ("x", "double"), ("v", LIST)], row)
    for format, data in files.items():
        path = tmp_path / f"a.{format}"
        path.write_bytes(data)
        told, batch = outcome(path)
        if expected is None:
            (reject,) = batch.rejects
            assert (reject.error_type, reject.record_id) == ("wrong_type", None)
            assert bool(told) == (value != b"\xff")
        else:
            assert (told, batch.rejects, batch.ids) == ([], (), (expected,)), format


@pytest.mark.parametrize("bad", [False, True])
def test_decimals_are_numbers_of_float_fields_in_any_row_of_any_format(tmp_path, bad):
    v = [[ONE, ONE]] * 20 + [[ONE]] * bad
    count = len(v)
    row = {"id": "a", "x": ONE}
    files = {
        "parquet": parquet(
            ("id", ["a"] * count, None),
            ("x", [ONE] * count, pa.decimal128(9, 2)),
            ("v", v, pa.list_(pa.decimal128(9, 2))),
        ),
        "avro": avro(
            [("id", "string"), ("x", DECIMAL), ("v", {"type": "array", "items": DECIMAL})],
            *({**row, "v": one} for one in v),
        ),
    }
    for format, data in files.items():
        path = tmp_path / f"a.{format}"
        path.write_bytes(data)
        told, batch = outcome(path)
        assert told == []
        assert batch.columns["x"].tolist() == [1.5] * 20
        assert batch.columns["v"].tolist() == [[1.5, 1.5]] * 20
        assert [reject.error_type for reject in batch.rejects] == ["wrong_shape"] * bad


@pytest.mark.parametrize(
    "kind",
    [pa.list_view(pa.float64()), pa.large_list_view(pa.float64()), pa.list_(pa.float16(), 2)],
)
def test_lists_of_every_kind_are_tensors(tmp_path, kind):
    path = tmp_path / "a.parquet"
    path.write_bytes(
        parquet(("id", ["a", "b"], None), ("x", [1, 2], None), ("v", [[1, 2], [3, 4]], kind))
    )
    told, batch = outcome(path)
    assert (told, batch.rejects) == ([], ())
    assert batch.columns["v"].tolist() == [[1, 2], [3, 4]]


TIMES = [
    (pa.timestamp("us", "UTC"), {"type": "long", "logicalType": "timestamp-micros"}),
    (pa.date32(), {"type": "int", "logicalType": "date"}),
    (pa.time64("us"), ["null", {"type": "long", "logicalType": "time-micros"}]),
]


@pytest.mark.parametrize(("arrow", "avro_type"), TIMES)
def test_refusal_of_a_time_says_what_to_do(tmp_path, arrow, avro_type):
    files = {
        "parquet": parquet(("id", ["a"], None), ("x", [0], arrow), V),
        "avro": avro([("id", "string"), ("x", avro_type), ("v", LIST)]),
    }
    for format, data in files.items():
        path = tmp_path / f"a.{format}"
        path.write_bytes(data)
        (problem,) = input_checks.problems(str(path), "auto", RECORD)
        assert problem.endswith(
            "; no field holds times: write them as numbers or text, or repeat them by pass_through"
        )


def test_refusal_of_decimals_for_integers_names_the_dtype_that_takes_them(tmp_path):
    record = RecordSpec.model_validate({"fields": {"n": {"dtype": "int64"}}})
    files = {
        "parquet": parquet(("n", [decimal.Decimal(1)], pa.decimal128(38, 0))),
        "avro": avro([("n", DECIMAL)], {"n": ONE}),
    }
    for format, data in files.items():
        path = tmp_path / f"a.{format}"
        path.write_bytes(data)
        (problem,) = input_checks.problems(str(path), "auto", record)
        assert problem.endswith("expected int64; `dtype: float64` takes decimals")


def test_struct_with_a_time_in_it_is_no_time(tmp_path):
    path = tmp_path / "a.parquet"
    kind = pa.struct([("time", pa.timestamp("us"))])
    path.write_bytes(parquet(("id", ["a"], None), ("x", [None], kind), V))
    (problem,) = input_checks.problems(str(path), "auto", RECORD)
    assert problem.endswith("expected float32")


@pytest.mark.parametrize("schema", ["string", {"type": "array", "items": "int"}])
def test_avro_values_that_are_no_records_are_refused_or_told_one_by_one(tmp_path, schema):
    sink = io.BytesIO()
    fastavro.writer(sink, schema, [[] if isinstance(schema, dict) else "a"])
    path = tmp_path / "a.avro"
    path.write_bytes(sink.getvalue())
    told, batch = outcome(path)
    assert "expected records" in told[0]
    (reject,) = batch.rejects
    assert reject.error_type == "not_an_object"
    assert reject.error_message.endswith(", expected a record")
