"""What a prediction repeats (id, `pass_through`) is what came in, however many its digits."""

import json
from decimal import Decimal

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.batch.batch import Batch
from pipeline.batch.block import Block
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.batch.release import ModelVersion, Release
from pipeline.connectors.bigquery.input_rows import RowEncoder
from pipeline.connectors.bigquery.output_rows import prediction_rows
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.formats import line_encoder
from pipeline.formats.csv import encoder as csv_encoder
from pipeline.formats.fields import IrregularError
from pipeline.formats.registry import FORMATS
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import PathKey

FLOAT, VECTOR = {"dtype": "float64"}, {"dtype": "float64", "shape": [2]}
FLOATS = dict.fromkeys("xyz", FLOAT)
RELEASE = Release(1, (ModelVersion("m", "gs://b/1", "d"),))


def both(format, payloads, record, repeated, header=(), path="a"):
    """The batch of a block; decoded at once and row by row, it is the same."""
    decoder = FORMATS[format].decoder

    class Careful(decoder):
        """Decodes each row by itself."""

        def plain(self, block):
            return None

        def part(self, block, rows):
            raise IrregularError

    spec = RecordSpec.model_validate(record)
    block = Block(payloads, path, format=format, header=header)
    fast, careful = (cls(spec, repeated).decode(block) for cls in (decoder, Careful))
    assert (fast.ids, fast.pass_through) == (careful.ids, careful.pass_through)
    assert fast.rejects == careful.rejects
    return fast


def exact(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


digits = st.integers(0, 10**40).map(str) | st.integers(10**15, 10**19).map(str)
fractions = st.text("0123456789", min_size=1, max_size=25).map(".{}".format)
exponents = st.integers(-330, 250).map("e{}".format) | st.integers(0, 9).map("E+{}".format)
literals = st.tuples(
    st.sampled_from(["", "-"]), digits, st.just("") | fractions, st.just("") | exponents
).map("".join)
cheap = settings(max_examples=60, deadline=None)
ODD = ["1e2", "1.0", "-0.0", "9007199254740993", "9007199254740993.0", "12345678901234567.89"]


@cheap
@given(
    literals | st.sampled_from(ODD) | st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from([1, 80]),
    st.sampled_from(
        ['"p":%s', '"p" : %s', '"p"\t:%s', '"\\u0070":%s', '"p":[%s, 1]', '"p":{"p":%s}']
    ),
    st.sampled_from(['"o":1', '"o":{"p":0.5}', '"o":"\\"p\\":0.5"', '"v":[1,2]', '"o":null']),
)
@example("0.5000000000000000000001", 80, '"\\u0070":%s', '"o":{"p":0.5}')
def test_numbers_of_json(literal, count, spelled, beside):
    line = f'{{"x": 0.1, "y": 1, "z": 2, {beside}, {spelled % literal}}}'
    declared = [FLOATS, FLOATS | {"v": VECTOR}] if '"v"' in beside else [FLOATS]
    declared += [FLOATS | {"p": FLOAT}] if spelled.endswith(":%s") else []
    for fields in declared:
        batch = both("jsonl", (line.encode(),) * count, {"fields": fields}, ["p"])
        assert exact(batch.pass_through[-1]) == {"p": exact(line)["p"]}
    if "{" in spelled:
        path = PathKey(path=("p", "p"))
        batch = both("jsonl", (line.encode(),) * count, {"fields": FLOATS}, [path])
        assert exact(batch.pass_through[-1]) == {"p.p": Decimal(literal)}


@pytest.mark.parametrize("key", ["p", "p of q"])
@pytest.mark.parametrize(
    "literal", ["5.00", "1.0E2", "0.1", "0.12345678901234567890", "[0.5, 2.0]"]
)
def test_object_of_json_is_not_parsed_once_more_for_a_number(monkeypatch, key, literal):
    """Which takes ten times as long, and prices have two decimals in every line."""
    monkeypatch.setattr("pipeline.formats.json.exact.exact_json", None)
    line = f'{{"x": 0.1, "y": 1.50, "z": 2, "{key}": {literal}}}'
    batch = both("jsonl", (line.encode(),), {"fields": FLOATS}, [key])
    assert exact(batch.pass_through[0]) == {key: exact(literal)}


def test_number_beside_a_long_list_of_json():
    line = b'{"v": %s, "p": 12345678901234567.89}' % json.dumps([0.5] * 32).encode()
    record = {"fields": {"v": {"dtype": "float32", "shape": [32]}}}
    batch = both("jsonl", (line,) * 20, record, ["p"])
    assert set(batch.pass_through) == {b'{"p":12345678901234567.89}'}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("count", [1, 80])
@pytest.mark.parametrize(
    ("cell", "repeated", "id"),
    [
        ("9007199254740993", "9007199254740993", 9007199254740993),
        ("7", "7", 7),
        (" +7 ", "7", 7),
        ("007", '"007"', "007"),
        ("-01", '"-01"', "-01"),
        ("0", "0", 0),
    ],
)
def test_integers_of_csv(dtype, count, cell, repeated, id):
    record = {"id": "p", "fields": {"p": {"dtype": dtype}}}
    batch = both("csv", (b"a,%s" % cell.encode(),) * count, record, ["p"], ("a", "p"))
    assert batch.ids == (id,) * count
    assert set(batch.pass_through) == {b'{"p":%s}' % repeated.encode()}


@cheap
@given(literals | st.sampled_from([*ODD, "-0", ".5", "5.", "+.5e1"]), st.sampled_from([1, 80]))
def test_numbers_of_csv(literal, count):
    spread = f"{literal},{literal},2".encode(), ("p", "v_0", "v_1")
    listed = f'{literal},"[{literal}, 2]"'.encode(), ("p", "v")
    is_json = literal.strip("-")[0] != "." and literal[-1] != "." and literal[0] != "+"
    for row, header in (spread, listed) if is_json else (spread,):
        record = {"fields": {"p": FLOAT, "v": VECTOR}}
        batch = both("csv", (row,) * count, record, ["p", "v"], header)
        number = Decimal(literal)
        assert exact(batch.pass_through[-1]) == {"p": number, "v": [number, 2]}


def test_decimal_comma_of_csv():
    record = {"fields": {"p": FLOAT}, "csv": {"delimiter": ";", "decimal": ","}}
    batch = both("csv", (b"12345678901234567,89;a",), record, ["p"], ("p", "a"))
    assert batch.pass_through == (b'{"p":12345678901234567.89}',)


@pytest.mark.parametrize(
    ("format", "payloads"),
    [
        ("jsonl", (b'{"x": 1}',) * 2),
        ("csv", (b"1",) * 2),
        ("avro", JsonRows([{"x": 1}] * 2)),
        ("parquet", ArrowRows(pa.RecordBatch.from_pylist([{"x": 1}] * 2))),
    ],
)
def test_numbers_of_a_path(format, payloads):
    path = "t/p=9007199254740993/q=0.12345678901234567890/a"
    fields = {"x": FLOAT, "p": {"dtype": "float32"}, "q": FLOAT}
    batch = both(format, payloads, {"id": "p", "fields": fields}, ["p", "q"], ("x",), path)
    assert batch.ids == (9007199254740993,) * 2
    assert exact(batch.pass_through[0]) == {
        "p": Decimal(9007199254740993),
        "q": Decimal("0.12345678901234567890"),
    }


@pytest.mark.parametrize("text", ["nan", "NaN", "NAN"])
def test_nan_of_a_path_is_a_missing_value(text):
    record = {"fields": {"x": FLOAT, "p": FLOAT | {"missing": "keep"}}}
    for format, payloads in {"jsonl": (b'{"x": 1}',), "csv": (b"1",)}.items():
        batch = both(format, payloads, record, ["p"], ("x",), f"t/p={text}/a")
        assert batch.columns["p"].present.tolist() == [False]
        assert batch.pass_through == (b'{"p":null}',)


def test_fraction_is_no_id_however_many_its_digits():
    lines = b'{"p": 1.5}', b'{"p": 0.12345678901234567890}'
    batch = both("jsonl", lines, {"id": "p", "fields": {"p": FLOAT}}, [])
    assert [reject.error_message for reject in batch.rejects] == [
        "id field 'p': found the number 1.5, expected text or an integer",
        "id field 'p': found the number 0.12345678901234567890, expected text or an integer",
    ]


@pytest.mark.parametrize(
    ("value", "repeated"),
    [
        (float("inf"), "Infinity"),
        ([float("-inf")], ["-Infinity"]),
        ({"a": [None, float("inf")]}, {"a": [None, "Infinity"]}),
    ],
)
def test_infinity_is_no_missing_value(value, repeated):
    row = {"x": 1.0, "p": value}
    tables = {"parquet": ArrowRows(pa.RecordBatch.from_pylist([row])), "avro": JsonRows([row])}
    for format, payloads in tables.items():
        batch = both(format, payloads, {"fields": {"x": FLOAT}}, ["p"])
        assert orjson.loads(batch.pass_through[0]) == {"p": repeated}


NOTES = [
    '{"p":12345678901234567.89}',
    '{"p":10000000000000000000001}',
    '{"p":{"a":[0.12345678901234567890123,1.5]}}',
    '{"p":0.30000000000000004}',
]


@pytest.mark.parametrize("note", NOTES)
def test_outputs_write_numbers_as_they_came(note):
    batch = Batch(
        ids=("a", "b"),
        payloads=(b"", b""),
        columns={"y": np.array([0.1, 2], np.float32)},
        pass_through=(b'{"p":1}', note.encode()),
        release=RELEASE,
    )
    lines = b"".join(line_encoder.predictions(batch, ["y"]))
    columns = [TableColumn("id", "STRING"), TableColumn("pass_through", "STRING")]
    assert prediction_rows(lines, columns)[1]["pass_through"] == note
    layout = csv_encoder.layout_of(["y"], {"y": ("float32", ())}, ["p"])
    value = note[5:-1]
    cell = value if value[0] != "{" else f'"{value.replace(chr(34), chr(34) * 2)}"'
    assert f"2.0,{cell},".encode() in csv_encoder.predictions(batch, layout)


@pytest.mark.parametrize("text", ["12345678901234567.89", "1.250000000", "1180591620717411303424"])
def test_decimals_of_bigquery(text):
    record = {"fields": {"p": FLOAT}}
    row = RowEncoder(RecordSpec.model_validate(record), ["p"]).encode({"p": Decimal(text)})
    batch = both("jsonl", (row,), record, ["p"])
    assert batch.columns["p"].tolist() == [float(text)]
    assert exact(batch.pass_through[0]) == {"p": Decimal(text)}
