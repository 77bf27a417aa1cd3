"""A bad value costs its record, damage its block; few bytes fill no memory and end no process."""

import io
import random
import subprocess
import sys
import tracemalloc

import fastavro
import orjson
import pytest

from pipeline.formats.avro.records import encoded_number
from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS, decoders
from pipeline.spec.record import RecordSpec
from tests.support.damage import mutated

ROWS = 200
SCHEMA = {
    "type": "record",
    "name": "Row",
    "namespace": "a.b",
    "fields": [
        {"name": "unused", "type": "string"},
        {"name": "id", "type": "string"},
        {"name": "x", "type": {"type": "array", "items": "float"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "maybe", "type": ["null", "Kind", {"type": "map", "values": "long"}]},
        {"name": "fixed", "type": {"type": "fixed", "name": "F", "size": 3}},
        {"name": "inner", "type": {"type": "record", "name": "I", "fields": []}},
    ],
}
RECORD = RecordSpec.model_validate(
    {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [2]}, "kind": {"dtype": "string"}}}
)
CODECS = ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]


def row(i):
    maybe = [None, "B", {"k": i}][i % 3]
    return {
        "unused": f"u{i:03}",
        "id": f"r{i:03}",
        "x": [0.5, float(i)],
        "kind": "AB"[i % 2],
        "day": i,
        "maybe": maybe,
        "fixed": b"abc",
        "inner": {},
    }


def written(rows=None, schema=SCHEMA, codec="null", **options):
    sink = io.BytesIO()
    rows = list(map(row, range(ROWS))) if rows is None else rows
    fastavro.writer(sink, schema, rows, codec=codec, **options)
    return sink.getvalue()


def bomb(schema, count, data, codec="null"):
    """A container with one block of made-up bytes."""
    header = written([], schema, codec)
    return header + encoded_number(count) + encoded_number(len(data)) + data + header[-16:]


def read(data, record=RECORD, pass_through=("day",), most=32 << 20):
    """The batches of a file, its errors, and how many records those are about."""
    keys = (record.id, *record.fields, *pass_through)
    opened = OpenedFile("a.avro", io.BytesIO(data), 0, len(data))
    decoder = decoders(record, pass_through)["avro"]
    found = list(FORMATS["avro"].blocks(opened, Reading(16, keys=keys, max_record_bytes=most)))
    errors = [block.error for block in found if block.error]
    batches = [decoder.decode(block) for block in found]
    for batch in batches:
        assert all(map(orjson.loads, batch.pass_through))
    return batches, errors, sum(block.lost for block in found)


def outcomes(data, **options):
    """Ids, dead letters of records, errors of blocks, records that those are about."""
    batches, errors, lost = read(data, **options)
    ids = [record_id for batch in batches for record_id in batch.ids]
    return ids, [letter for batch in batches for letter in batch.rejects], errors, lost


@pytest.mark.parametrize("codec", CODECS)
def test_undamaged_files_are_read_whole(codec):
    ids, letters, errors, lost = outcomes(written(codec=codec))
    assert (len(ids), letters, errors, lost) == (ROWS, [], [], 0)


@pytest.mark.parametrize("pass_through", [("day",), ("maybe",), ("day", "maybe", "fixed", "inner")])
def test_bad_value_costs_its_record_and_no_other(pass_through):
    data = written().replace(b"r007", b"\xff\xfe07")
    ids, (letter,), errors, _ = outcomes(data, pass_through=pass_through)
    assert ids == [f"r{i:03}" for i in range(ROWS) if i != 7]
    assert errors == []
    assert letter.error_type == "unreadable_value"
    assert "a.avro, record 7 of a block of" in letter.error_message
    assert "UnicodeDecodeError" in letter.error_message
    assert b"\xff\xfe07" in letter.payload


def test_day_beyond_those_of_python_costs_its_record():
    rows = [row(i) | {"day": 2**31 - 1 if i == 4 else i} for i in range(20)]
    as_number = {"name": "day", "type": "int"}
    fields = [as_number if f["name"] == "day" else f for f in SCHEMA["fields"]]
    made = written(rows, {**SCHEMA, "fields": fields})
    header, marker = written([]), made[-16:]
    records = made[made.index(marker) + 16 :]
    data = header + records.replace(marker, header[-16:])
    ids, (letter,), errors, _ = outcomes(data)
    assert (len(ids), errors) == (19, [])
    assert "record 4 of a block of 20: OverflowError" in letter.error_message


def test_column_that_is_not_used_is_not_looked_at():
    ids, letters, errors, _ = outcomes(written().replace(b"u007", b"\xff\xfe07"))
    assert (len(ids), letters, errors) == (ROWS, [], [])


def test_damaged_block_says_how_many_records_it_held():
    data = bytearray(written(codec="deflate", sync_interval=500))
    data[len(data) // 2 : len(data) // 2 + 8] = b"\0" * 8
    ids, letters, (error,), lost = outcomes(bytes(data))
    assert letters == []
    assert len(ids) + lost == ROWS
    assert f"a block of {lost} records is damaged" in error


def read_mutated(count):
    """Reads so many files; raises nothing for any of them, and no record is gone without a word."""
    chance = random.Random(1)
    files = [written(codec=codec, sync_interval=900) for codec in CODECS]
    whole = 0
    for _ in range(count):
        ids, letters, errors, _ = outcomes(mutated(chance, chance.choice(files)))
        assert len(ids) + len(letters) == ROWS or errors, "records are gone without a word"
        whole += len(ids) == ROWS
    assert count // 20 < whole < count, "all or none of the files were hurt"


def test_no_damage_ends_the_process_or_loses_records_without_a_word():
    code = "from tests.formats.avro.test_damage import read_mutated; read_mutated(400)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def of(*fields):
    return {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in fields]}


NULLS = of(("id", "string"), ("x", {"type": "array", "items": "null"}))
NODE = of(("id", "string"), ("x", ["null", "R"]))
HOLLOW = {"type": "record", "name": "A0", "fields": []}
for depth in range(1, 30):  # 2**30 records of no bytes
    inner = [{"name": "l", "type": HOLLOW}, {"name": "r", "type": f"A{depth - 1}"}]
    HOLLOW = {"type": "record", "name": f"A{depth}", "fields": inner}
ONE = b"\x02a"
MANY = encoded_number(700_000_000)
FLAGS = of(
    ("id", "string"), ("x", {"type": "array", "items": of(("f", "boolean")) | {"name": "B"}})
)
TEXT = of(("id", "string"), ("x", "string"))

BOMBS = {
    "nulls": lambda: bomb(NULLS, 1, ONE + MANY + b"\0"),
    "chain": lambda: bomb(NODE, 1, (ONE + b"\x02") * 200_000 + ONE + b"\0"),
    "hollow": lambda: bomb(of(("id", "string"), ("x", HOLLOW)), 1, ONE),
    "packed": lambda: written([{"id": "a", "x": "z" * 200_000_000}], TEXT, "deflate"),
    "packed more": lambda: written([{"id": "a", "x": "z" * 200_000_000}], TEXT, "zstandard"),
    "snappy": lambda: bomb(TEXT, 1, b"\xff\xff\xff\xff\x0f" + b"\0" * 8, "snappy"),
    "flags": lambda: bomb(FLAGS, 1, ONE + encoded_number(1_000_000) + b"\1" * 1_000_000 + b"\0"),
    "records": lambda: bomb(of(("x", "null")), 700_000_000, b""),
}


def read_bomb(name):
    data = BOMBS[name]()
    tracemalloc.start()
    record = RecordSpec.model_validate({"id": "id", "fields": {"x": {"dtype": "string"}}})
    ids, letters, errors, _ = outcomes(data, record=record, pass_through=("x",), most=1 << 20)
    assert ids == []
    assert len(letters) + len(errors) == 1
    peak = tracemalloc.get_traced_memory()[1]
    assert peak < 100 << 20, peak


@pytest.mark.parametrize("name", BOMBS)
def test_few_bytes_cost_little_memory_and_no_process(name):
    code = f"from tests.formats.avro.test_damage import read_bomb; read_bomb({name!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
