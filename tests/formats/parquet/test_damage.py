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


def test_columns_of_one_name_are_told_once_if_they_are_read():
    arrays = [pa.array([1]), pa.array([2]), pa.array([3])]
    data = written(pa.Table.from_arrays(arrays, ["a", "a", "b"]))
    assert read(data, keys=("b",)) == (1, [])
    assert read(data, keys=("a", "b")) == (0, ["a.parquet: has 2 columns 'a'"])
