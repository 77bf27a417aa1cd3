"""Few bytes of a Parquet file that are many rows or long ones: memory stays within the limits."""

import io
import struct
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS

MIB = 1 << 20
LIMIT = MIB
"""Of a record; four times as much may be read together."""
POOLS = []
"""What was taken from a pool may outlive the test."""


def written(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"write_statistics": False, **options})
    return sink.getvalue()


def blocks(data, **options):
    opened = OpenedFile("a.parquet", io.BytesIO(data), 0, len(data))
    return FORMATS["parquet"].blocks(opened, Reading(**{"block_rows": 1024, **options}))


@contextmanager
def arrow_memory():
    """A pool for what Arrow does meanwhile, which knows how much it was at once."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    try:
        yield pool
    finally:
        pa.set_memory_pool(usual)


def by_number(values, numbers):
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), values)


def lists(lengths, values):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("i4")
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def zeros(count):
    return pa.repeat(pa.scalar(0.0, pa.float32()), count)


def texts(count, length):
    return pa.array(["z" * length] * count)


# Each becomes 60 MiB and more, of rows that are small enough.
MANY = {
    "dictionary": lambda: written(
        pa.table({"x": by_number(texts(1, MIB // 2), [0] * 200)}), compression="zstd"
    ),
    "dictionary_v2": lambda: written(
        pa.table({"x": by_number(texts(1, MIB // 2), [0] * 200)}),
        compression="brotli",
        data_page_version="2.0",
    ),
    "prefixes": lambda: written(
        pa.table({"x": texts(120, MIB // 2)}),
        compression="zstd",
        use_dictionary=False,
        column_encoding={"x": "DELTA_BYTE_ARRAY"},
    ),
    "page_a_row": lambda: written(
        pa.table({"x": texts(120, MIB // 2)}),
        compression="gzip",
        use_dictionary=False,
        data_page_size=1,
        write_batch_size=1,
    ),
    "lists": lambda: written(
        pa.table({"x": lists([4] * 300, by_number(texts(1, MIB // 8), [0] * 1200))}),
        compression="zstd",
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_few_bytes_that_are_many_rows_are_read_some_rows_at_a_time(name):
    data = MANY[name]()
    assert len(data) < 100_000
    rows = pq.ParquetFile(io.BytesIO(data)).metadata.num_rows
    with arrow_memory() as pool:
        for block in blocks(data, max_record_bytes=LIMIT):
            assert not block.error
            assert block.payloads.table.nbytes < 5 * LIMIT  # four, and where each text begins
            rows -= len(block.payloads)
        assert rows == 0
        assert pool.max_memory() < 16 * LIMIT


# One row of each takes more than a row may.
LONG = {
    "list": lambda: written(pa.table({"x": lists([8 * MIB], zeros(8 * MIB))}), compression="zstd"),
    "list_v2": lambda: written(
        pa.table({"x": lists([8 * MIB], zeros(8 * MIB))}),
        compression="zstd",
        data_page_version="2.0",
    ),
    "one_list_of_many": lambda: written(
        pa.table({"x": lists([1] * 9 + [8 * MIB] + [0] * 90_000, zeros(8 * MIB + 9))}),
        compression="zstd",
    ),
    "text": lambda: written(
        pa.table({"x": texts(1, 24 * MIB)}), compression="zstd", use_dictionary=False
    ),
    "text_in_dictionary": lambda: written(
        pa.table({"x": by_number(texts(1, 24 * MIB), [0] * 3)}),
        compression="gzip",
        dictionary_pagesize_limit=1 << 30,
    ),
    "list_of_prefixes": lambda: written(
        pa.table({"x": lists([400, 1], texts(401, MIB // 2))}),
        compression="zstd",
        use_dictionary=False,
        column_encoding={"x.list.element": "DELTA_BYTE_ARRAY"},
    ),
    "part_of_a_row": lambda: written(
        pa.table(
            {"x": pa.array([{"a": [0.0] * 2 * MIB}], pa.struct({"a": pa.list_(pa.float64())}))}
        ),
        compression="zstd",
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_few_bytes_that_are_long_rows_are_refused_before_they_are_made(name):
    data = LONG[name]()
    assert len(data) < 100_000
    with arrow_memory() as pool:
        (block,) = blocks(data, max_record_bytes=LIMIT)
        assert "a.parquet, rows 0 to" in block.error
        assert "in memory; larger rows are read with a larger --max_record_bytes" in block.error
        assert pool.max_memory() < 16 * LIMIT
    rows = pq.ParquetFile(io.BytesIO(data)).metadata.num_rows
    found = list(blocks(data, max_record_bytes=1 << 30))
    assert not any(block.error for block in found)
    assert sum(len(block.payloads) for block in found) == rows


def varint(number):
    """A number as Thrift's compact protocol writes it."""
    rest, made = number << 1, bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*made, rest])


def with_index_that_says(data, sizes):
    """A file whose index has other numbers in the places of some."""
    begin = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    index = data[begin:-8]
    for number, instead in sizes.items():
        assert varint(number) in index
        index = index.replace(varint(number), varint(instead))
    return data[:begin] + index + struct.pack("<I", len(index)) + data[-4:]


@pytest.mark.parametrize("name", [*LONG, *MANY])
def test_index_that_says_less_than_the_pages_changes_nothing(name):
    data = {**LONG, **MANY}[name]()
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    lying = with_index_that_says(
        data,
        {chunk.total_uncompressed_size: 100, **({} if name in MANY else {chunk.num_values: 1})},
    )
    with arrow_memory() as pool:
        for _ in blocks(lying, max_record_bytes=LIMIT):
            pass
        assert pool.max_memory() < 16 * LIMIT


def unsigned(number):
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_lengths_without_values_are_refused_before_room_is_made_for_them(encoding, version):
    text = "a" * 10
    table = pa.table({"x": [text] * 3})
    options = {"compression": "none", "use_dictionary": False, "data_page_version": version}
    data = written(table, **options, column_encoding={"x": encoding})
    begin = data.find(b"\x80\x01\x04")
    end = data.find(text.encode()) + len(text)
    many = unsigned(1 << 28)
    lengths = many + b"\1" + many + b"\0\0\0"
    instead = lengths if encoding == "DELTA_LENGTH_BYTE_ARRAY" else 2 * lengths
    instead = instead.ljust(end - begin, b"\0")
    assert len(instead) == end - begin
    with arrow_memory() as pool:
        (block,) = blocks(data[:begin] + instead + data[end:])
        assert "a page has 268,435,456 lengths of 3 values" in block.error
        assert pool.max_memory() < MIB


def test_long_row_of_many_texts_ends_the_rows_before_it_is_made():
    column = lists([1, 400, 1], by_number(texts(1, MIB // 2), [0] * 402))
    with arrow_memory() as pool:
        first, second = blocks(
            written(pa.table({"x": column}), compression="zstd"), max_record_bytes=LIMIT
        )
        assert len(first.payloads) == 1
        assert "a.parquet, rows 1 to 2: cannot be read: a row has 209,715,200 bytes" in second.error
        assert second.lost == 2
        assert pool.max_memory() < 16 * LIMIT


REPEATED = by_number(pa.array(["one of few texts " * 10, "other"]), [0] * 60_000 + [1] * 4)
REPEATING = {
    "texts": REPEATED.cast(pa.string()),
    "categories": REPEATED,
    "structs": pa.StructArray.from_arrays([REPEATED, REPEATED], ["a", "b"]),
    "lists": lists([1, 20_000, 0] + [2] * 20_000 + [1] * 3, REPEATED.cast(pa.string())),
}


@pytest.mark.parametrize("form", REPEATING)
@pytest.mark.parametrize("statistics", [True, False])
def test_texts_that_repeat_are_read_whatever_they_become(form, statistics):
    table = pa.table({"x": REPEATING[form]})
    data = written(table, compression="zstd", write_statistics=statistics)
    found = list(blocks(data, max_record_bytes=LIMIT))
    assert not any(block.error for block in found)
    tables = [block.payloads.table for block in found]
    assert pa.Table.from_batches(tables).equals(table)


def test_unused_columns_may_be_of_any_size():
    table = pa.table({"x": lists([8 * MIB], zeros(8 * MIB)), "n": [1]})
    data = written(table, compression="zstd")
    (block,) = blocks(data, keys=("n",), max_record_bytes=1000)
    assert not block.error


def test_constant_columns_of_many_rows_are_read():
    table = pa.table({"x": pa.repeat(pa.scalar(0.0), 3_000_000)})
    data = written(table, row_group_size=len(table))
    found = blocks(data, block_rows=MIB, max_record_bytes=LIMIT)
    assert sum(len(block.payloads) for block in found if not block.error) == len(table)


SHORT = st.text("ab\0", max_size=6)
COLUMNS = st.one_of(
    st.lists(st.none() | SHORT, min_size=1, max_size=60).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.none() | st.lists(SHORT, max_size=9), min_size=1, max_size=40).map(
        lambda v: pa.array(v, pa.list_(pa.string()))
    ),
    st.lists(
        st.lists(st.lists(st.none() | st.integers(0, 9), max_size=20), max_size=20), min_size=1
    ).map(lambda v: pa.array(v, pa.list_(pa.list_(pa.int64())))),
)


@settings(max_examples=40, deadline=None)
@given(
    column=COLUMNS,
    version=st.sampled_from(["1.0", "2.0"]),
    encoding=st.sampled_from(["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN", None]),
    page=st.sampled_from([1, 64, MIB]),
    limit=st.integers(1, 400),
)
def test_whatever_the_limit_rows_are_read_as_they_are_or_refused(
    column, version, encoding, page, limit
):
    table = pa.table({"x": column})
    leaf = "x" + ".list.element" * (str(column.type).count("list<"))
    is_number = str(column.type).count("int64")
    options = {"use_dictionary": True}
    if encoding and not is_number:
        options = {"use_dictionary": False, "column_encoding": {leaf: encoding}}
    data = written(
        table, data_page_version=version, data_page_size=page, write_batch_size=4, **options
    )
    found = list(blocks(data, max_record_bytes=limit))
    tables = [block.payloads.table for block in found if len(block.payloads)]
    rows = pa.Table.from_batches(tables).column("x").to_pylist() if tables else []
    assert rows == column.to_pylist()[: len(rows)]
    assert len(rows) == len(column) or found[-1].lost == len(column) - len(rows)
