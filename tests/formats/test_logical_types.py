"""Types with a meaning of their own: right, or refused at launch and in later files alike."""

import datetime
import struct
import uuid
from decimal import Decimal

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats import arrow_columns
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.formats.format import Reading
from pipeline.formats.registry import FORMATS
from pipeline.spec.record import FieldSpec, RecordSpec

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
TEXT, DAY = str(UUID), datetime.date(2024, 1, 2)
NOON = datetime.datetime(2024, 1, 2, 12, tzinfo=datetime.UTC)
UUIDS = {"string": TEXT, "bytes": UUID.bytes, "id": TEXT, "repeated": f'"{TEXT}"'}
DECIMALS = {"float64": 1.5, "id": "1.50", "repeated": '"1.50"'}
DTYPES = ("string", "bytes", "float64", "int64", "bool")


def logical(name, type, **more):
    return {"type": type, "logicalType": name, **more}


def fixed(logical_type, size, **more):
    return {**logical(logical_type, "fixed", size=size, **more), "name": "F"}


AVRO = {
    "uuid": (logical("uuid", "string"), UUID, UUIDS),
    "uuid or null": (["null", logical("uuid", "string")], UUID, UUIDS),
    "uuid in 16 bytes": (fixed("uuid", 16), UUID.bytes, UUIDS),
    "enum": (
        {"type": "enum", "name": "E", "symbols": ["YQ"]},
        "YQ",
        {"string": "YQ", "bytes": b"a", "id": "YQ", "repeated": '"YQ"'},
    ),
    "decimal": (
        logical("decimal", "bytes", precision=9, scale=2),
        Decimal("1.50"),
        DECIMALS,
    ),
    "fixed decimal": (fixed("decimal", 8, precision=9, scale=2), Decimal("1.50"), DECIMALS),
    "big decimal": (logical("big-decimal", "bytes"), b"\x04\x00\x96\x04", DECIMALS),
    "date": (logical("date", "int"), DAY, {"repeated": '"2024-01-02"'}),
    "time": (
        logical("time-micros", "long"),
        datetime.time(1, 2, 3, 4),
        {"repeated": '"01:02:03.000004"'},
    ),
    "timestamp": (
        logical("timestamp-millis", "long"),
        NOON,
        {"repeated": '"2024-01-02T12:00:00+00:00"'},
    ),
    "duration": (
        fixed("duration", 12),
        struct.pack("<III", 1, 2, 3004),
        {"repeated": '{"months":1,"days":2,"milliseconds":3004}'},
    ),
}
NUMBER = {"float64": 7, "int64": 7, "id": 7, "repeated": "7"}
JSON = {"string": "1234", "bytes": b"\xd7\x6d\xf8", "id": "1234", "repeated": '"1234"'}
ARROW = {
    "uuid": (pa.array([UUID.bytes], pa.uuid()), UUIDS),
    "json": (pa.array(["1234"], pa.json_()), JSON),
    "bool8": (pa.array([1], pa.bool8()), {"bool": True, "repeated": "true"}),
    "uint32": (pa.array([7], pa.uint32()), NUMBER),
    "float16": (pa.array(np.float16([1.5])), {"float64": 1.5, "repeated": "1.5"}),
    "decimal": (pa.array([Decimal("1.50")]), DECIMALS),
    "decimal32": (pa.array([Decimal("1.50")], pa.decimal32(5, 2)), DECIMALS),
    "date": (pa.array([DAY]), {"repeated": '"2024-01-02"'}),
    "time": (pa.array([1], pa.time64("ns")), {"repeated": '"00:00:00.000000001"'}),
    "timestamp": (
        pa.array([1], pa.timestamp("ns")),
        {"repeated": '"1970-01-01T00:00:00.000000001"'},
    ),
    "duration": (pa.array([1], pa.duration("ns")), {"repeated": '"0:00:00.000000001"'}),
    "nothing": (pa.nulls(1), {"repeated": "null"}),
}


def outcome(path, format, fields, pass_through=(), id=None):
    """What the launch says of a file, and both ways the records of it: a value, or a reject."""
    record = RecordSpec.model_validate({"fields": fields} | ({"id": id} if id else {}))
    problems = list(input_checks.problems(str(path), format, record, pass_through))
    decoder = FORMATS[format].decoder

    class Careful(decoder):
        """Decodes each row by itself."""

        def part(self, block, rows):
            raise IrregularError

    (file,) = match_input(str(path))
    (part,) = split_file(file, 1 << 30, record=record)
    reading = Reading(keys=record.outer_keys(pass_through), record=record)
    found = []
    for cls in (decoder, Careful):
        (block,) = read_range(part, reading)
        batch = cls(record, pass_through).decode(block)
        value = next(iter(batch.columns.values())).tolist() if len(batch) else None
        rejects = [(reject.error_type, reject.error_message) for reject in batch.rejects]
        found.append((rejects, value, batch.ids, batch.pass_through))
    assert found[0] == found[1]
    return problems, *found[0]


def holds(path, format, expected):
    """Whether a column is right or refused for each dtype and as an id, and how it is repeated."""
    for dtype in DTYPES:
        problems, rejects, values, _, _ = outcome(path, format, {"p": {"dtype": dtype}})
        if dtype in expected:
            assert (problems, rejects, values) == ([], [], [expected[dtype]]), dtype
        else:
            assert len(problems) == len(rejects) == 1, dtype
    fields = {"x": {"dtype": "float32"}}
    problems, rejects, _, ids, _ = outcome(path, format, fields, id="p")
    if "id" in expected:
        assert (problems, rejects, ids) == ([], [], (expected["id"],))
    else:
        assert len(problems) == len(rejects) == 1
    problems, rejects, _, _, repeated = outcome(path, format, fields, ["p"])
    assert (problems, rejects) == ([], [])
    assert repeated == (b'{"p":%s}' % expected["repeated"].encode(),)


@pytest.mark.parametrize("name", AVRO)
def test_logical_types_of_avro(tmp_path, name):
    kind, value, expected = AVRO[name]
    fields = [{"name": "x", "type": "int"}, {"name": "p", "type": kind}]
    schema = {"type": "record", "name": "R", "fields": fields}
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, schema, [{"x": 1, "p": value}])
    holds(tmp_path / "a.avro", "avro", expected)


@pytest.mark.parametrize("name", ARROW)
def test_logical_types_of_parquet(tmp_path, name):
    column, expected = ARROW[name]
    pq.write_table(pa.table({"x": pa.array([1.0]), "p": column}), tmp_path / "a.parquet")
    holds(tmp_path / "a.parquet", "parquet", expected)


@pytest.mark.parametrize("more", [{}, {"use_dictionary": False}])
def test_enum_of_parquet_is_text_as_in_avro(tmp_path, more):
    path = tmp_path / "a.parquet"
    table = pa.table({"x": pa.array([1.0]), "p": pa.array(["YQ"])})
    pq.write_table(table, path, store_schema=False, **more)
    # In the footer: the name, 25 and a converted type, 4c and a logical type; Arrow writes none.
    text, enum = b"p%\x00L\x1c\x00", b"p%\x08L\x4c\x00"
    data = path.read_bytes()
    assert data.count(text) == 1
    path.write_bytes(data.replace(text, enum))
    assert pq.ParquetFile(path).schema.column(1).logical_type.type == "ENUM"
    holds(path, "parquet", AVRO["enum"][2])


def test_uuids_in_lists_are_text(tmp_path):
    path = tmp_path / "a.parquet"
    uuids = pa.array([UUID.bytes] * 2, pa.uuid())
    pq.write_table(pa.table({"p": pa.ListArray.from_arrays([0, 2], uuids)}), path)
    fields = {"p": {"dtype": "string", "shape": [2]}}
    assert outcome(path, "parquet", fields)[:3] == ([], [], [[TEXT, TEXT]])


@pytest.mark.parametrize("dtype", ["string", "bytes"])
def test_uuid_whose_bytes_are_text_too_is_one_where_another_may_be_missing(dtype):
    uuids = [uuid.UUID(int=0), uuid.UUID(int=0x41)]
    decoder = FieldDecoder("p", FieldSpec(dtype=dtype, missing="keep"))
    found = arrow_columns.column(pa.array([*(u.bytes for u in uuids), None], pa.uuid()), decoder)
    expected = list(map(str, uuids)) if dtype == "string" else [one.bytes for one in uuids]
    assert found.values[:2].tolist() == expected
    assert found.present.tolist() == [True, True, False]


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_column_without_any_value_is_one_of_a_field_that_may_lack_it(tmp_path, format):
    path = tmp_path / f"a.{format}"
    if format == "parquet":
        pq.write_table(pa.table({"p": pa.nulls(1), "x": [1.0]}), path)
    else:
        columns = [{"name": "p", "type": "null"}, {"name": "x", "type": "double"}]
        with path.open("wb") as file:
            schema = {"type": "record", "name": "R", "fields": columns}
            fastavro.writer(file, schema, [{"p": None, "x": 1.0}])
    for dtype in DTYPES:
        fields = {"x": {"dtype": "float32"}, "p": {"dtype": dtype, "missing": "keep"}}
        assert outcome(path, format, fields)[:2] == ([], [])
