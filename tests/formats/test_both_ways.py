"""The fast way of every format gives what the careful way gives, whatever the bytes and values."""

import csv
import datetime
import io
import json
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.batch.columns import Masked, iterate, presence_of, values_of
from pipeline.batch.payloads import ArrowRows, JsonRows
from pipeline.formats.fields import IrregularError
from pipeline.formats.registry import FORMATS
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import PathKey
from tests.support.formats import example

FIELDS = {
    "x": {"dtype": "float32"},
    "v": {"dtype": "float64", "shape": [2]},
    "r": {"dtype": "int16", "shape": [None]},
    "n": {"dtype": "int64"},
    "flag": {"dtype": "bool"},
    "text": {"dtype": "string"},
    "raw": {"dtype": "bytes"},
}
NAMES = ("id", *FIELDS, "note")
HEADER = ("id", "x", "v_0", "v_1", "r", "n", "flag", "text", "raw", "note")


def both_ways(format, payloads, fields, with_id, header=()):
    """Compares a block as it is decoded with the same decoded row by row; whatever may be missing.

    Values may be missing from no field, or from all but those that never lack one.
    """
    for missing in ({}, {"missing": "keep"}):
        declared = {n: FIELDS[n] | (missing if n != "r" else {}) for n in fields}
        csv_keys = {"csv": {"missing": ["NA"]}} if missing else {}
        keys = {"fields": declared, **csv_keys} | ({"id": "id"} if with_id else {})
        same(decoded(format, payloads, RecordSpec.model_validate(keys), fields, header))


def decoded(format, payloads, record, fields, header, pass_through=()):
    decoder = FORMATS[format].decoder

    class Careful(decoder):
        """Decodes each row by itself."""

        def part(self, block, rows):
            raise IrregularError

    block = Block(payloads, "a", format=format, header=header)
    pass_through = pass_through or ("note", *fields)
    return decoder(record, pass_through).decode(block), Careful(record, pass_through).decode(block)


def same(batches):
    fast, careful = batches
    assert fast.ids == careful.ids
    assert fast.pass_through == careful.pass_through
    assert fast.rejects == careful.rejects
    assert fast.columns.keys() == careful.columns.keys()
    for name, column in fast.columns.items():
        there = presence_of(column)
        assert there.tolist() == presence_of(careful.columns[name]).tolist(), name
        assert isinstance(column, Masked) == isinstance(careful.columns[name], Masked), name
        columns = (iterate(values_of(each)) for each in (column, careful.columns[name]))
        for has, found, expected in zip(there, *columns, strict=True):
            assert found.dtype == expected.dtype, name
            if has:
                assert np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"), name
            else:  # a placeholder that nobody may read: never a value of another row
                assert not any(found.reshape(-1).tolist()), name


numbers = (
    st.integers(-(2**70), 2**70)
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from([2**31, 2**53 + 1, 1e39, 2**15, -0.0])
)
plain = numbers | st.none() | st.booleans() | st.text(max_size=4) | st.sampled_from(["YQ==", "1"])
tricky = (
    plain
    | st.binary(max_size=3)
    | st.decimals(places=2)
    | st.sampled_from(
        [uuid.UUID(int=7), datetime.date(2024, 1, 2), Decimal("Infinity"), Decimal(3)]
    )
)


def listed(leaves):
    return (
        leaves | st.lists(leaves, max_size=3) | st.lists(st.lists(leaves, max_size=2), max_size=2)
    )


good = st.fixed_dictionaries(
    {
        "id": st.text(max_size=3) | st.integers(-9, 9),
        "x": st.floats(-9, 9, width=32) | st.integers(-9, 9),
        "v": st.lists(st.floats(-9, 9), min_size=2, max_size=2),
        "r": st.lists(st.integers(-9, 9), max_size=3),
        "n": st.integers(-9, 9),
        "flag": st.booleans(),
        "text": st.text(max_size=3),
        "raw": st.sampled_from(["", "YQ==", "//8="]),
        "note": st.integers() | st.text(max_size=3),
    }
)


junk = st.just([]) | st.just([]) | st.lists(st.binary(max_size=9), max_size=2)
ways = st.tuples(st.lists(st.sampled_from(list(FIELDS)), min_size=1, unique=True), st.booleans())
cheap = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def each_field(format, rows, odd, payloads):
    """Compares both ways where one row has an odd value: of each field in turn, and of the id."""
    for name in FIELDS:
        for key in (name, "id"):
            both_ways(format, payloads([*rows, rows[0] | {key: odd}]), [name], key == "id")


some = st.lists(good, min_size=1, max_size=3)


@cheap
@given(junk, some, listed(plain))
def test_json(junk, rows, odd):
    each_field(
        "jsonl",
        rows,
        odd,
        lambda rows: (*(json.dumps(row).encode(errors="replace") for row in rows), *junk),
    )


@cheap
@given(some, listed(tricky))
def test_avro(rows, odd):
    each_field("avro", rows, odd, JsonRows)


@cheap
@given(junk, some, listed(plain))
def test_tfrecord(junk, rows, odd):
    each_field("tfrecord", rows, odd, lambda rows: (*map(_example, rows), *junk))


def _example(row):
    """The message of a row, or none where a feature cannot hold one of its values."""
    try:
        return example(row)
    except (TypeError, ValueError):
        return b""


SPECIAL = ["", " ", "1", "-1", "+1", "1.5", "1e3", "0x1", "1_0", "inf", "nan", "true", "TRUE"]
SPECIAL += [
    "NA",
    " NA",
    "[1, null]",
    "[1, 2]",
    "[1]",
    "[]",
    "null",
    '"a"',
    "a\nb",
    "a\r\nb",
    "é",
    "٣",
    "YQ==",
    "1e39",
]
ALL_GOOD = ["a", "1.5", "1", "2", "[1]", "7", "true", "t", "YQ==", "n"]


@cheap
@given(junk, numbers.map(str) | st.text(max_size=3))
def test_csv(junk, odd):
    each_cell(junk, odd)


@pytest.mark.parametrize("odd", SPECIAL)
def test_special_cell(odd):
    each_cell([], odd)


def test_empty_line():
    row = ",".join(ALL_GOOD).replace("[1]", "1").encode()
    for name in FIELDS:
        for key in (name, "id"):
            both_ways("csv", (row, b"", row), [name], key == "id", HEADER)


def each_cell(junk, odd, good_rows=1):
    for place, key in enumerate(HEADER):
        payloads = []
        for row in (*[ALL_GOOD] * good_rows, [*ALL_GOOD[:place], odd, *ALL_GOOD[place + 1 :]]):
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow(row)
            payloads.append(text.getvalue().encode(errors="replace"))
        fields = [name for name in FIELDS if key.startswith(name)] or ["x"]
        both_ways("csv", (*payloads, *junk), fields, key == "id", HEADER)


ARROW = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float16(): st.floats(width=16).map(np.float16),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=3),
    pa.string_view(): st.text(max_size=3),
    pa.large_binary(): st.binary(max_size=3),
    pa.decimal128(9, 2): st.decimals(-99, 99, places=2),
    pa.timestamp("ns"): st.integers(0, 2**60),
    pa.dictionary(pa.int8(), pa.string()): st.text(max_size=3),
}


GOOD_KINDS = dict.fromkeys(("x", "v", "r", "n"), pa.int8()) | dict.fromkeys(
    ("id", "text", "raw", "note"), pa.string()
)


@st.composite
def tables(draw):
    """Columns of types that fit, but for one, of any type and perhaps with nulls."""
    count = draw(st.integers(1, 6))
    odd = draw(st.sampled_from(NAMES))
    columns = {}
    for name in NAMES:
        kind = (
            draw(st.sampled_from(list(ARROW))) if name == odd else GOOD_KINDS.get(name, pa.bool_())
        )
        values = ARROW[kind]
        if name == "raw" and name != odd:
            values = st.just("YQ==")
        elif name == odd and draw(st.booleans()):
            values |= st.none()
        if name in ("v", "r") and not pa.types.is_dictionary(kind):
            kind = draw(st.sampled_from([pa.list_(kind), pa.large_list(kind)]))
            most = 2 if name == "v" and draw(st.integers(0, 3)) else 3
            values = st.lists(values, min_size=2 if name == "v" else 0, max_size=most)
        columns[name] = pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind)
    return pa.RecordBatch.from_pydict(columns).slice(draw(st.integers(0, count - 1)))


@cheap
@given(tables(), ways)
def test_parquet(table, way):
    both_ways("parquet", ArrowRows(table), *way)


INSIDE = ["a", "b"]


def inside(values):
    """Rows whose value stands in an object in an object, or that have something else there."""
    holder = st.fixed_dictionaries({}, optional={"b": values, "c": st.integers(0, 3)})
    holder |= (
        st.none() | st.integers(0, 1) | st.lists(st.fixed_dictionaries({"b": values}), max_size=1)
    )
    return st.fixed_dictionaries({"id": st.integers(0, 3)}, optional={"a": holder})


def both_ways_inside(format, payloads, names=tuple(FIELDS)):
    """Compares both ways of reading a field of each dtype, an id and what is repeated."""
    path = PathKey(path=("a", "b"))
    for name in names:
        for more in ({}, {"missing": "keep"} if name != "r" else {}):
            declared = {name: FIELDS[name] | {"path": INSIDE} | more}
            id = "id" if more else {"path": INSIDE}
            record = RecordSpec.model_validate({"id": id, "fields": declared})
            same(decoded(format, payloads, record, [], (), (path, "id")))


@cheap
@given(st.lists(inside(listed(plain)), min_size=1, max_size=4))
def test_json_inside(rows):
    both_ways_inside("jsonl", tuple(json.dumps(row).encode(errors="replace") for row in rows))


@cheap
@given(st.lists(inside(listed(tricky)), min_size=1, max_size=4))
def test_avro_inside(rows):
    both_ways_inside("avro", JsonRows(rows))


@st.composite
def structs(draw):
    """A field, and a table with a column `a` of structs with its value, or of something else."""
    name, count = draw(st.sampled_from(["x", "v", "n", "text"])), draw(st.integers(1, 5))
    kind = draw(st.just(GOOD_KINDS[name]) | st.sampled_from(list(ARROW)))
    values = ARROW[kind] if draw(st.booleans()) else ARROW[kind] | st.none()
    if name == "v" and not pa.types.is_dictionary(kind):
        kind, values = pa.list_(kind), st.lists(values, min_size=2, max_size=2)
    names = draw(st.just(["c", "b"]) | st.sampled_from([["b"], ["b", "b"], ["c"], []]))
    arrays = [
        pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind)
        for _ in names or ["a"]
    ]
    if names:
        mask = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        arrays = [pa.StructArray.from_arrays(arrays, names=names, mask=pa.array(mask))]
    table = pa.RecordBatch.from_arrays([pa.array(range(count)), *arrays], names=["id", "a"])
    return name, table.slice(draw(st.integers(0, count - 1)))


@settings(cheap, max_examples=40)
@given(structs())
def test_parquet_inside(drawn):
    name, table = drawn
    both_ways_inside("parquet", ArrowRows(table), [name])


SPREAD = {
    "x": {"dtype": "float32", "shape": [3]},
    "n": {"dtype": "int64", "shape": [3, 1]},
    "text": {"dtype": "string", "shape": [3]},
    "flag": {"dtype": "bool", "shape": [1, 3]},
}
PLACES = ("a", "b", "c")


def both_ways_spread(format, payloads, header=(), names=tuple(SPREAD)):
    """Compares both ways of reading a field whose values have a key each."""
    for name in names:
        for missing in ({}, {"missing": "keep"}):
            declared = {name: SPREAD[name] | {"columns": [*PLACES]} | missing}
            csv_keys = {"csv": {"missing": ["NA"]}} if missing else {}
            record = RecordSpec.model_validate({"fields": declared, **csv_keys})
            same(decoded(format, payloads, record, [], header, ("b", "id")))


def spread(values):
    others = st.integers(0, 2) | st.floats(0, 1, width=32)
    odd = st.sampled_from(PLACES)
    return odd.flatmap(
        lambda key: st.fixed_dictionaries(
            {"id": st.integers(0, 3)} | dict.fromkeys({*PLACES} - {key}, others),
            optional={key: values},
        )
    )


@cheap
@given(junk, st.lists(spread(listed(plain)), min_size=1, max_size=4))
def test_json_spread(junk, rows):
    payloads = (json.dumps(row).encode(errors="replace") for row in rows)
    both_ways_spread("jsonl", (*payloads, *junk))


@cheap
@given(st.lists(spread(listed(tricky)), min_size=1, max_size=4))
def test_avro_spread(rows):
    both_ways_spread("avro", JsonRows(rows))


@cheap
@given(st.lists(spread(listed(plain)), min_size=1, max_size=4))
def test_tfrecord_spread(rows):
    both_ways_spread("tfrecord", tuple(map(_example, rows)))


@cheap
@given(junk, st.lists(st.sampled_from(SPECIAL), min_size=2, max_size=2))
def test_csv_spread(junk, odd):
    cells = [["1", "0", "true", "x"], ["1", *odd, "x"]]
    payloads = (",".join('"' + cell + '"' for cell in row).encode() for row in cells)
    both_ways_spread("csv", (*payloads, *junk), (*PLACES, "id"))


@st.composite
def spread_tables(draw):
    count = draw(st.integers(1, 4))
    columns = {"id": pa.array(range(count))}
    usual = draw(st.sampled_from([pa.int8(), pa.float64(), pa.bool_(), pa.string()]))
    odd = draw(st.sampled_from(PLACES))
    for name in PLACES:
        kind = draw(st.sampled_from(list(ARROW))) if name == odd else usual
        values = ARROW[kind] | st.none() if name == odd else ARROW[kind]
        columns[name] = pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind)
    if draw(st.integers(0, 3)) == 0:
        del columns[odd]
    return pa.RecordBatch.from_pydict(columns)


@settings(cheap, max_examples=40)
@given(spread_tables(), st.sampled_from(list(SPREAD)))
def test_parquet_spread(table, name):
    both_ways_spread("parquet", ArrowRows(table), names=[name])


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_here(format):
    name = format.removesuffix("l")
    assert f"test_{name}" in globals()
    assert f"test_{name}_spread" in globals()
    assert (f"test_{name}_inside" in globals()) is FORMATS[format].nests
