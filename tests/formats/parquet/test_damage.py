"""A damaged or hostile Parquet file costs its rows; it ends no process and fills no memory."""

import io
import random
import struct
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS
from tests.support.damage import mutated

ROWS = 40
TABLE = pa.table(
    {
        "id": [f"r{i}" for i in range(ROWS)],
        "x": pa.array([[0.5, 1.0, float(i)] for i in range(ROWS)], pa.list_(pa.float32())),
        "n": range(ROWS),
        "tag": [None if i % 3 else f"t{i % 4}" for i in range(ROWS)],
        "deep": [{"a": i, "b": [str(i)]} for i in range(ROWS)],
        "fixed": pa.array([b"abcd"] * ROWS, pa.binary(4)),
    }
)
WRITERS = [
    {},
    {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 10},
    {"compression": "gzip", "write_page_index": True, "write_page_checksum": True},
    {
        "compression": "none",
        "use_dictionary": False,
        "column_encoding": {"n": "DELTA_BINARY_PACKED", "id": "DELTA_BYTE_ARRAY"},
    },
]


def written(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(data, **options):
    """Rows of the blocks of a file, and the errors."""
    opened = OpenedFile("a.parquet", io.BytesIO(data), 0, len(data))
    blocks = list(FORMATS["parquet"].blocks(opened, Reading(16, **options)))
    return sum(len(block.payloads) for block in blocks), [b.error for b in blocks if b.error]


def index_of(data):
    """Where the index of a file begins."""
    return len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]


def read_mutated(count):
    """Reads so many files; raises nothing for any of them."""
    chance = random.Random(1)
    files = [written(TABLE, **options) for options in WRITERS]
    whole = 0
    for _ in range(count):
        data = chance.choice(files)
        rows, errors = read(mutated(chance, data, index_of(data), end=4))
        assert rows == ROWS or errors, "rows are gone without a word"
        whole += not errors
    assert count // 20 < whole < count, "all or none of the files were hurt"


def test_no_damage_ends_the_process_or_loses_rows_without_a_word():
    code = "from tests.formats.parquet.test_damage import read_mutated; read_mutated(1500)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("options", WRITERS)
def test_undamaged_files_are_read_whole(options):
    assert read(written(TABLE, **options)) == (ROWS, [])


def varint(number):
    """A number as Thrift's compact protocol writes it."""
    rest, made = number << 1, bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*made, rest])


def with_index_that_says(data, sizes):
    """A file whose index has other numbers in the places of some."""
    begin = index_of(data)
    index = data[begin:-8]
    for number, instead in sizes.items():
        assert varint(number) in index
        index = index.replace(varint(number), varint(instead))
    return data[:begin] + index + struct.pack("<I", len(index)) + data[-4:]


@pytest.mark.parametrize("compression", ["zstd", "gzip", "brotli"])
def test_pages_that_become_more_than_the_index_says_are_refused_before_they_do(compression):
    size = 64 << 20
    table = pa.table({"n": [1], "x": [b"\0" * size]})
    options = {"compression": compression, "use_dictionary": False, "write_statistics": False}
    data = written(table, **options, data_page_size=1 << 30)
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1)
    lying = with_index_that_says(data, {size: 1000, chunk.total_uncompressed_size: 1000})
    rows, (error,) = read(lying)
    assert rows == 0
    assert "rows 0 to 0: cannot be read: the pages of column 'x' become 67,108,8" in error
    assert read(lying, keys=("n",)) == (1, [])


def test_columns_whose_place_is_not_in_the_file_are_damage():
    data = written(TABLE.select(["id", "n"]), compression="none")
    chunk = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(1)
    for size in (len(data), 1 << 40, 1 << 62):
        rows, (error,) = read(with_index_that_says(data, {chunk.total_compressed_size: size}))
        assert rows == 0
        assert (
            "a.parquet: is not a Parquet file that can be read: its index is damaged: column 'n'"
            in error
        )


def test_columns_that_share_their_bytes_are_damage():
    data = written(pa.table({"a": range(5000), "b": range(5000)}), use_dictionary=False)
    first, second = (
        pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(i).data_page_offset
        for i in (0, 1)
    )
    for place in (first, second - 1):
        rows, (error,) = read(with_index_that_says(data, {second: place}))
        assert rows == 0
        assert "its index is damaged: columns 'a' and 'b' overlap" in error


@pytest.mark.parametrize(("said", "rows"), [(0, 6), (5, 0), (6, 6), (7, 0)])
def test_rows_are_those_of_the_groups_where_the_index_counts_none(said, rows):
    data = written(pa.table({"a": range(6)}), row_group_size=3)
    number = b"\x16\x0c\x19"  # 6 in thrift's compact form, between two other fields
    assert data.count(number) == 1
    found, errors = read(data.replace(number, bytes([0x16, 2 * said, 0x19])))
    assert found == rows
    assert bool(errors) == (said not in (0, 6))


def test_columns_of_one_name_are_read_both_for_the_decoder_to_tell():
    arrays = [pa.array([1]), pa.array([2]), pa.array([3])]
    data = written(pa.Table.from_arrays(arrays, ["a", "a", "b"]))
    assert read(data, keys=("b",)) == (1, [])
    assert read(data, keys=("a", "b")) == (1, [])


@pytest.mark.parametrize("kinds", [0x11, 0x12, 0x22], ids=hex)
def test_map_of_truth_values_longer_than_the_index_is_damage_not_an_endless_loop(kinds):
    # A field that no version of the format has: a map of 2**63 items, which take no bytes.
    index = bytes([0x1B, *[0xFF] * 8, 0x7F, kinds, 0x00])
    data = b"PAR1" + index + struct.pack("<I", len(index)) + b"PAR1"
    rows, (error,) = read(data)
    assert rows == 0
    assert "longer than the index" in error
