"""Whatever writers do that nobody refuses, rows are those that Arrow reads by itself."""

import io
from itertools import pairwise, takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.parquet import footer
from pipeline.formats.parquet.delta import prefix_lengths
from pipeline.formats.parquet.pages import read_pages
from pipeline.formats.registry import FORMATS

SHIPPED = sorted((Path(pa.__file__).parent / "tests/data/parquet").glob("*.parquet"))
"""Files of old writers, which come with Arrow."""


def rows_of(data, **options):
    """The rows of a file as a table."""
    opened = OpenedFile("a.parquet", io.BytesIO(data), 0, len(data))
    blocks = list(FORMATS["parquet"].blocks(opened, Reading(**{"block_rows": 16, **options})))
    assert [block.error for block in blocks] == [None] * len(blocks)
    return pa.Table.from_batches([block.payloads.table for block in blocks])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_files_that_come_with_arrow_have_its_rows(path):
    assert rows_of(path.read_bytes()).equals(pq.read_table(path))


TEXT = st.text("abc\0é", max_size=40)
VALUES = {
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.binary(): st.binary(max_size=300),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.dictionary(pa.int32(), pa.string()): TEXT,
    pa.int32(): st.integers(-9, 9),
    pa.list_(pa.string()): st.lists(st.none() | TEXT, max_size=9),
    pa.list_(pa.list_(pa.string())): st.lists(st.lists(TEXT, max_size=3), max_size=3),
    pa.list_(pa.struct({"t": pa.string(), "n": pa.int8()})): st.lists(
        st.fixed_dictionaries({"t": TEXT, "n": st.integers(0, 9)}), max_size=4
    ),
    pa.list_(pa.string(), 2): st.lists(TEXT, min_size=2, max_size=2),
    pa.struct({"a": pa.string(), "b": pa.list_(pa.binary())}): st.fixed_dictionaries(
        {"a": st.none() | TEXT, "b": st.lists(st.binary(max_size=9), max_size=4)}
    ),
    pa.map_(pa.string(), pa.string()): st.dictionaries(TEXT, TEXT, max_size=3).map(
        lambda pairs: list(pairs.items())
    ),
}
PLAIN_TEXTS = (pa.string(), pa.large_string(), pa.binary())


@st.composite
def tables(draw):
    """Some columns of few or many rows, of which many may be the same."""
    rows = draw(st.sampled_from([1, 17, 300]))
    columns = {}
    for number, kind in enumerate(draw(st.lists(st.sampled_from(list(VALUES)), min_size=1))):
        # Arrow does not read null where lists have a fixed size.
        value = VALUES[kind] if pa.types.is_fixed_size_list(kind) else st.none() | VALUES[kind]
        few = draw(st.lists(value, min_size=1, max_size=12))
        columns[f"c{number}"] = pa.array([few[i * i % len(few)] for i in range(rows)], kind)
    return pa.table(columns)


@st.composite
def files(draw):
    """A file, as one of many writers may have it, and its table."""
    table = draw(tables())
    encoding = draw(st.sampled_from([None, "PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]))
    options = {}
    if encoding:
        encodings = {
            field.name: encoding
            for field in table.schema
            if field.type in PLAIN_TEXTS
            or (field.type == pa.binary(3) and encoding == "DELTA_BYTE_ARRAY")
        }
        options = {"use_dictionary": False, "column_encoding": encodings}
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])),
        data_page_version=draw(st.sampled_from(["1.0", "2.0"])),
        # Of a byte, Arrow writes pages of no value, behind which it finds nothing itself.
        data_page_size=draw(st.sampled_from([200, 1 << 20])),
        dictionary_pagesize_limit=draw(st.sampled_from([20, 1 << 20])),
        write_batch_size=draw(st.sampled_from([3, 1024])),
        row_group_size=draw(st.sampled_from([40, 1 << 20])),
        write_page_index=draw(st.booleans()),
        store_schema=draw(st.booleans()),
        **options,
    )
    return sink.getvalue()


@settings(max_examples=40, deadline=None)
@given(data=files(), limit=st.sampled_from([32 << 20, 6000]))
def test_files_of_any_writer_have_the_rows_that_arrow_reads(data, limit):
    expected = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
    found = rows_of(data, max_record_bytes=limit)
    assert found.schema.equals(expected.schema)
    assert found.to_pylist() == expected.to_pylist()


def shared_length(one, other):
    """How many letters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@settings(max_examples=40, deadline=None)
@given(
    few=st.lists(st.text("ab", max_size=300), min_size=1, max_size=30),
    rows=st.sampled_from([0, 1, 2, 32, 33, 129, 5000]),
    page=st.sampled_from([64, 1 << 20]),
)
def test_prefixes_are_as_long_as_what_a_text_shares_with_the_one_before(few, rows, page):
    texts = [few[i * i % len(few)] for i in range(rows)]
    schema = pa.schema([pa.field("x", pa.string(), nullable=False)])
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"x": texts}, schema),
        sink,
        use_dictionary=False,
        compression="none",
        column_encoding={"x": "DELTA_BYTE_ARRAY"},
        data_page_size=page,
    )
    first = 0
    for group in footer.row_groups(io.BytesIO(sink.getvalue())):
        (chunk,) = group.chunks
        stored = memoryview(sink.getvalue())[chunk.start : chunk.end]
        for read in read_pages(stored, chunk.values):
            some = texts[first : first + read.values]
            shared = [shared_length(*pair) for pair in pairwise(some)]
            assert prefix_lengths(read.body, chunk.values).tolist() == [0, *shared]
            first += len(some)
    assert first == rows
