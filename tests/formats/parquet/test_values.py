"""Whatever type or value a column has: a value, or a dead letter of that row."""

import io
import struct

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch import wire
from pipeline.batch.block import Block
from pipeline.batch.payloads import ArrowRows
from pipeline.batch.tensors import DTYPES
from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS, decoders
from pipeline.spec.record import RecordSpec
from tests.support.arrow_types import TYPES, values

ROWS = 40


def decoded(table, *, record=None, pass_through=("p",)):
    """The batch of a table with the columns id, x and p; each row is in it, once."""
    record = record or {"id": "id", "fields": {"x": {"dtype": "float32"}}}
    decoder = decoders(RecordSpec.model_validate(record), pass_through)["parquet"]
    batch = decoder.decode(Block(ArrowRows(table), "a.parquet", format="parquet"))
    assert len(batch) + len(batch.rejects) == table.num_rows
    for letter in batch.rejects:
        assert set(orjson.loads(letter.payload)) == set(table.schema.names)
        assert letter.error_message.startswith("a.parquet, row ")
    orjson.dumps(batch.ids)
    for extra in batch.pass_through or ():
        orjson.loads(extra)
    for payload in batch.payloads:
        orjson.loads(payload)
    return batch


def table_of(**changed):
    """Rows without a fault but for the changed columns."""
    rows = max([len(column) for column in changed.values()], default=ROWS)
    good = {
        "id": pa.array([f"r{i}" for i in range(rows)]),
        "x": pa.array(range(rows), pa.float32()),
        "p": pa.array([f"t{i}" for i in range(rows)]),
    }
    return pa.RecordBatch.from_pydict({**good, **changed})


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_column_of_any_type_is_values_or_dead_letters(kind):
    column = values(kind, ROWS)
    decoded(table_of(id=column))
    decoded(table_of(p=column))
    for dtype in DTYPES:
        for shape in ([], [1], [None], [1, 1]):
            field = {"dtype": dtype, "shape": shape}
            decoded(table_of(x=column), record={"id": "id", "fields": {"x": field}})


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_rows_of_any_type_can_be_taken_and_sent(kind):
    rows = ArrowRows(table_of(p=values(kind, ROWS))).take([30, 3])
    assert len(rows) == 2
    assert orjson.loads(rows[1])["id"] == "r3"
    batch = decoded(table_of(x=values(pa.float32(), ROWS)))
    sent = wire.loads(wire.dumps(batch), type(batch))
    assert list(sent.payloads) == list(batch.payloads)
    assert len(ArrowRows(table_of(p=values(kind, ROWS))).take([])) == 0


def is_in_parquet(kind):
    """Whether a file can have a column of a type."""
    is_absent = (pa.types.is_interval, pa.types.is_run_end_encoded, pa.types.is_union)
    return not any(absent(kind) for absent in is_absent)


@pytest.mark.parametrize("kind", filter(is_in_parquet, TYPES), ids=str)
def test_column_of_any_type_arrives_from_a_file(kind):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_batches([table_of(p=values(kind, ROWS))]), sink)
    opened = OpenedFile("a.parquet", sink, 0, sink.tell())
    blocks = list(FORMATS["parquet"].blocks(opened, Reading(64)))
    assert [block.error for block in blocks] == [None]
    decoded(blocks[0].payloads.table)


def passed(kind, *numbers):
    """What is passed through of values that are stored as these numbers; None for a dead letter."""
    stored = pa.array(numbers, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    batch = decoded(table_of(p=stored))
    found = dict(zip(batch.ids, map(orjson.loads, batch.pass_through), strict=True))
    return [found.get(f"r{i}", {"p": None})["p"] for i in range(len(numbers))]


def test_times_in_nanoseconds_become_text_that_has_them_all():
    nano, day = 1_700_000_000_000_000_001, 86_400 * 10**9
    assert passed(pa.timestamp("ns"), nano, nano - 1) == [
        "2023-11-14T22:13:20.000000001",
        "2023-11-14T22:13:20",
    ]
    (berlin,) = passed(pa.timestamp("ns", "Europe/Berlin"), nano)
    assert berlin == "2023-11-14T23:13:20.000000001+01:00"
    assert passed(pa.timestamp("ns"), -1) == ["1969-12-31T23:59:59.999999999"]
    assert passed(pa.time64("ns"), 1, 1000) == ["00:00:00.000000001", "00:00:00.000001"]
    assert passed(pa.duration("ns"), day + 1) == ["1 day, 0:00:00.000000001"]


def test_what_python_has_no_object_for_costs_its_row_only():
    assert passed(pa.date32(), 0, 2**31 - 1, -(2**31)) == ["1970-01-01", None, None]
    assert passed(pa.timestamp("s"), 0, 2**60) == ["1970-01-01T00:00:00", None]
    assert passed(pa.timestamp("us", "Mars/Olympus"), 0) == [None]
    batch = decoded(table_of(p=pa.array([0, 2**31 - 1], pa.int32()).view(pa.date32())))
    (letter,) = batch.rejects
    assert letter.error_type == "unreadable_value"
    assert "a.parquet, row 1: column 'p' (date32[day]): OverflowError" in letter.error_message
    assert "days=2147483647" in orjson.loads(letter.payload)["p"]


def texts(*parts):
    """Text of any bytes."""
    ends = [sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    offsets = pa.py_buffer(struct.pack(f"{len(ends)}i", *ends))
    data = pa.py_buffer(b"".join(parts))
    return pa.StringArray.from_buffers(len(parts), offsets, data)


@pytest.mark.parametrize("column", ["id", "x", "p"])
def test_text_that_is_not_utf8_costs_its_row_only(column):
    changed = {column: texts(*(b"\xff\xfe" if i == 7 else b"ok" for i in range(ROWS)))}
    record = {"id": "id", "fields": {"x": {"dtype": "string" if column == "x" else "float32"}}}
    batch = decoded(table_of(**changed), record=record)
    assert len(batch) == ROWS - 1
    (letter,) = batch.rejects
    assert "a.parquet, row 7: column" in letter.error_message
    assert orjson.loads(letter.payload)[column] == "//4="


class _Counting:
    """A table that counts how often its names are listed."""

    def __init__(self, table):
        self._table, self.lists = table, 0

    def __getattr__(self, name):
        found = getattr(self._table, name)
        return _CountingSchema(found, self) if name == "schema" else found

    def slice(self, start, rows):
        self._table = self._table.slice(start, rows)
        return self


class _CountingSchema:
    def __init__(self, schema, table):
        self._schema, self._table = schema, table

    def __getattr__(self, name):
        self._table.lists += name == "names"
        return getattr(self._schema, name)


def test_names_are_listed_as_often_for_many_fields_as_for_few():
    """Once for each field, the names of 5,000 columns would be listed 5,000 times a block."""
    lists = []
    for fields in (10, 100):
        names = [f"x{i}" for i in range(fields)]
        record = {"id": "x0", "fields": {name: {"dtype": "int64"} for name in names}}
        table = _Counting(pa.RecordBatch.from_pydict({name: [1, 2] for name in names}))
        assert len(decoded(table, record=record, pass_through=("x1",))) == 2
        lists.append(table.lists)
    assert 0 < lists[0] == lists[1]
