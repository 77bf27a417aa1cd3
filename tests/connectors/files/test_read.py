"""Files of every format: the same records make the same batches, and a fault costs only itself."""

import gzip
import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch import wire
from pipeline.batch.batch import Batch, Reject
from pipeline.batch.columns import Ragged, iterate
from pipeline.connectors.files import ranges as file_ranges
from pipeline.connectors.files.read import read_range
from pipeline.connectors.files.watched.fetch import blocks_of_file
from pipeline.connectors.files.watched.listing import list_files
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS, format_of
from pipeline.spec.record import RecordSpec
from tests.connectors.files.records import RECORD, blocks, ids, parts_of, read, row
from tests.support import formats


def rows_of(batches):
    """id -> field -> value, and what was passed through."""
    return {
        record_id: (
            {name: list(iterate(column))[i] for name, column in batch.columns.items()},
            orjson.loads(batch.pass_through[i]),
        )
        for batch in batches
        for i, record_id in enumerate(batch.ids)
    }


def same(found, expected):
    assert list(found) == list(expected)
    for record_id, (values, passed) in expected.items():
        assert found[record_id][1] == passed
        for name, value in values.items():
            assert found[record_id][0][name].dtype == value.dtype, name
            assert np.array_equal(found[record_id][0][name], value), name


# JSON lines are the yardstick: the formats have to agree with them.
floats = st.floats(-1e6, 1e6, width=32)


records = st.builds(
    lambda text, **others: {**others, "text": text, "tag": text},
    x=st.lists(floats, min_size=3, max_size=3),
    m=st.lists(st.lists(floats, min_size=2, max_size=2), min_size=2, max_size=2),
    v=st.lists(floats, min_size=1, max_size=4),
    n=st.integers(-(2**15), 2**15 - 1),
    k=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2),
    flag=st.booleans(),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    raw=st.binary(max_size=4),
)


@settings(max_examples=40)
@given(st.lists(records, min_size=1, max_size=30))
def test_all_formats_give_the_batches_that_json_gives(rows):
    rows = [{"id": f"r{i}", **made} for i, made in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        expected = None
        for format in FORMATS:
            batches, errors = read(formats.write(Path(folder), format, rows))
            assert errors == []
            assert [reject.error_message for batch in batches for reject in batch.rejects] == []
            found = rows_of(batches)
            expected = expected or found
            assert len(found) == len(rows), format
            same(found, expected)


@pytest.mark.parametrize("format", FORMATS)
def test_bad_records_are_told_by_field_and_cost_no_other(tmp_path, format):
    rows = [row(i) for i in range(60)]
    rows[7]["x"] = [1.0, 2.0]
    rows[20]["n"] = 70_000
    rows[41]["x"] = [1.0, 2.0, float("nan")]
    if format == "jsonl":
        rows[41]["x"] = [1.0, 2.0, None]
    batches, errors = read(formats.write(tmp_path, format, rows), block_rows=25)
    assert errors == []
    assert [i for batch in batches for i in batch.ids] == [
        f"r{i}" for i in range(60) if i not in (7, 20, 41)
    ]
    rejects = [reject for batch in batches for reject in batch.rejects]
    assert [(r.record_id, r.error_type) for r in rejects[:2]] == [
        ("r7", "wrong_shape"),
        ("r20", "out_of_range"),
    ]
    assert "field 'x': found 2 values, expected float32[3]" in rejects[0].error_message
    assert "field 'n': found 70000, beyond its range, expected int16" in rejects[1].error_message
    assert rejects[2].record_id == "r41"
    if format in ("jsonl", "parquet", "avro"):
        assert [orjson.loads(reject.payload)["id"] for reject in rejects] == ["r7", "r20", "r41"]


@pytest.mark.parametrize("format", ["jsonl", "parquet", "avro"])
@pytest.mark.parametrize("split_bytes", [150, 2000])
def test_ranges_of_a_file_hold_every_record_once(tmp_path, format, split_bytes):
    rows = [row(i) for i in range(200)]
    path = formats.write(tmp_path, format, rows)
    batches, errors = read(path, split_bytes=split_bytes)
    assert errors == []
    assert [i for batch in batches for i in batch.ids] == [row["id"] for row in rows]


@pytest.mark.parametrize("format", ["csv", "tfrecord"])
def test_formats_without_a_place_to_cut_are_read_as_a_whole(tmp_path, format):
    path = formats.write(tmp_path, format, [row(i) for i in range(50)])
    (part,) = file_ranges.split_file(match_input(str(path))[0], 100)
    assert part.format == format


@pytest.mark.parametrize("format", ["jsonl", "csv", "tfrecord"])
def test_compressed_files_are_read_as_they_are(tmp_path, format):
    path = formats.gzipped(formats.write(tmp_path, format, [row(i) for i in range(50)]))
    batches, errors = read(path)
    assert errors == []
    assert sum(map(len, batches)) == 50
    path.write_bytes(path.read_bytes()[:-30])
    batches, (error,) = read(path)
    assert "cannot be read to its end" in error
    assert 0 < sum(map(len, batches)) < 50


@pytest.mark.parametrize("format", ["jsonl", "csv", "tfrecord"])
@pytest.mark.parametrize("packed", [False, True])
def test_record_that_is_too_large_costs_itself_only(tmp_path, format, packed):
    rows = [row(i, text="a" * 5000) if i in (7, 49) else row(i) for i in range(50)]
    path = formats.write(tmp_path, format, rows)
    path = formats.gzipped(path) if packed else path
    batches, errors = read(path, most=2000)
    assert ids(batches) == [i for i in range(50) if i not in (7, 49)]
    assert len(errors) == 2
    for error in errors:
        assert str(path) in error
        assert "bytes, expected at most 2,000: it is left out" in error


def test_csv_whose_header_is_too_large_has_none(tmp_path):
    path = formats.write(tmp_path, "csv", [{"id": "a", "x" * 3000: 1}])
    (batch, rest), (error,) = read(path, most=2000)
    assert "the line after 0 whole lines" in error
    assert len(batch) == len(batch.rejects) == 0
    assert [reject.error_type for reject in rest.rejects] == ["no_header"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_checksum_that_is_wrong_at_the_end_says_what_was_predicted_already(tmp_path, compression):
    text = formats.as_bytes("jsonl", [row(i) for i in range(50)])
    if compression == "gzip":
        path, data = tmp_path / "a.jsonl.gz", bytearray(gzip.compress(text))
        data[-8] ^= 1
    else:
        path, packer = tmp_path / "a.jsonl.zst", zstandard.ZstdCompressor(write_checksum=True)
        data = bytearray(packer.compress(text))
        data[-1] ^= 1
    path.write_bytes(data)
    batches, (error,) = read(path)
    before = re.search(r"after (\d+) whole lines", error)
    assert int(before[1]) == len(ids(batches))
    assert "Those were handed on already: predictions from them stand, and may be wrong" in error


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_column_file_that_is_compressed_once_more_is_refused_by_name(tmp_path, format):
    path = formats.gzipped(formats.write(tmp_path, format, [row(0)]))
    ((block,), error) = blocks(path), None
    assert "compress their data themselves" in block.error
    assert error is None


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_file_of_another_format_is_one_unreadable_block(tmp_path, format):
    path = tmp_path / f"a.{format}"
    path.write_bytes(b"nothing of the kind" * 100)
    (block,) = blocks(path, split_bytes=500)
    assert len(block.payloads) == 0
    assert f"a.{format}: is not a" in block.error
    assert format in block.error.lower()


@pytest.mark.parametrize("format", FORMATS)
def test_file_whose_name_is_not_utf8_is_read_and_can_be_named(tmp_path, format):
    written = formats.write(tmp_path, format, [row(i, n=70000 if i == 3 else i) for i in range(9)])
    name = tmp_path / os.fsdecode(b"caf\xe9." + formats.EXTENSIONS[format].encode())
    written.rename(name)
    os.truncate(name, name.stat().st_size - (format in ("parquet", "avro")))
    without_id = RECORD.model_copy(update={"id": None})
    batches, errors = read(tmp_path / "*", without_id)
    for batch in batches:
        orjson.dumps(batch.ids)
        assert wire.loads(wire.dumps(batch), Batch).ids == batch.ids
    for error in errors:
        assert "caf\\udce9" in Reject(b"", None, "read", "unreadable", error).error_message
    assert sum(len(b) + len(b.rejects) for b in batches) == 9 or errors
    (file,) = list_files(str(tmp_path))
    for block in blocks_of_file(file, Reading()):
        orjson.dumps([block.source, [dict(origin.attributes) for origin in block.origins]])


def test_lines_may_look_like_the_start_of_an_array_where_they_are_read_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    raw = RecordSpec.model_validate({"source": "raw", "fields": {"m": {"dtype": "bytes"}}})
    path.write_bytes(b'[{"id": "in an array"}]\n{}\n')
    (part,) = parts_of(path)
    path.write_bytes(path.read_bytes() + b"{}\n")
    found = [(len(b.payloads), b.error) for b in read_range(part, Reading(record=raw))]
    assert found == [(2, None)]


def test_names_tell_the_format():
    assert [
        format_of(name).name
        for name in (
            "a.csv.gz",
            "b.d/a.PARQUET",
            "t.tfrecord-00001-of-00010",
            "x.avro",
            "a",
            "b.txt",
        )
    ] == ["csv", "parquet", "tfrecord", "avro", "jsonl", "jsonl"]
    assert format_of("a.csv", "tfrecord").name == "tfrecord"


def test_tfrecord_that_is_no_example_is_a_reject(tmp_path):
    data = formats.framed(b"\xff\xff\xff") + formats.as_bytes("tfrecord", [row(1)])
    (tmp_path / "a.tfrecord").write_bytes(data)
    ((batch,), errors) = read(tmp_path / "a.tfrecord")
    assert errors == []
    assert ids([batch]) == [1]
    assert [(r.error_type, r.payload) for r in batch.rejects] == [
        ("not_an_example", b"\xff\xff\xff")
    ]


def test_tensorflow_writes_what_is_read(tmp_path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for i in range(3):
            writer.write(tf.train.Example.FromString(formats.example(row(i))).SerializeToString())
    batches, errors = read(tmp_path / "a.tfrecord")
    assert errors == []
    same(
        rows_of(batches),
        rows_of(read(formats.write(tmp_path, "jsonl", [row(i) for i in range(3)]))[0]),
    )


def parquet_of(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_column_of_another_type_makes_rejects_with_the_reason(tmp_path):
    record = RecordSpec.model_validate({"fields": {"n": {"dtype": "int8"}}})
    path = parquet_of(tmp_path / "a.parquet", n=["1", "2"])
    ((batch,), errors) = read(path, record, ())
    assert errors == []
    assert [(r.error_message, r.payload) for r in batch.rejects] == [
        (
            f"{path}, row {i}: field 'n': found the text '{i + 1}', expected int8",
            b'{"n":"%d"}' % (i + 1),
        )
        for i in range(2)
    ]


def test_parquet_without_a_needed_column_makes_rejects_with_the_reason(tmp_path):
    record = RecordSpec.model_validate({"fields": {"n": {"dtype": "int8"}}})
    ((batch,), _) = read(parquet_of(tmp_path / "a.parquet", m=[1, 2]), record, (), keys=("n",))
    assert len(batch) == 0
    assert len(batch.rejects) == 2
    assert "field 'n' is missing" in batch.rejects[0].error_message


@pytest.mark.parametrize(
    ("array", "dtype", "shape"),
    [
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), "float32", [2]),
        (pa.array([[1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.uint8())), "uint8", [2, 2]),
        (pa.array([[[1, 2]], [[3, 4]]], pa.large_list(pa.list_(pa.float64()))), "float16", [1, 2]),
        (pa.array([1.5, 2.5], pa.float64()), "float32", []),
        (pa.array(["a", "b"]).dictionary_encode(), "string", []),
        (pa.array([b"a", b"b"]), "string", []),
        (pa.array([b"a", b"b"], pa.binary(1)), "bytes", []),
        (pa.array([["a"], ["b"]]), "string", [1]),
        (pa.array([True, False]), "bool", []),
        (pa.array([[1], [2, 3]]), "int32", [None]),
    ],
)
def test_parquet_types_that_fit_become_columns(tmp_path, array, dtype, shape):
    record = RecordSpec.model_validate({"fields": {"f": {"dtype": dtype, "shape": shape}}})
    path = parquet_of(tmp_path / "a.parquet", f=array)
    ((batch,), _) = read(path, record, ())
    assert batch.rejects == ()
    column = batch.columns["f"]
    native = bytes if dtype == "bytes" else str
    expected = [
        value.decode() if native is str and isinstance(value, bytes) else value
        for value in array.to_pylist()
    ]
    for found, value in zip(iterate(column), expected, strict=True):
        assert np.array_equal(found.reshape(-1), np.array(value, found.dtype).reshape(-1))
        assert isinstance(column, Ragged) or found.shape == tuple(shape)
    assert batch.ids == (f"{path}:0", f"{path}:1")


def test_parquet_row_ids_count_through_the_row_groups(tmp_path):
    record = RecordSpec.model_validate({"fields": {"n": {"dtype": "int16"}}})
    path = formats.write(tmp_path, "parquet", [row(i) for i in range(30)])
    batches, _ = read(path, record, (), block_rows=4, split_bytes=400)
    assert [i for batch in batches for i in batch.ids] == [f"{path}:{i}" for i in range(30)]


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_storage_that_fails_is_not_taken_for_damage(tmp_path, format):
    class Failing(io.BytesIO):
        """A file whose storage fails after a while."""

        reads = 0

        def read(self, *arguments):
            self.reads += 1
            if self.reads > 3:
                raise OSError("the storage is gone")
            return super().read(*arguments)

    data = formats.as_bytes(format, [row(i) for i in range(40)])
    opened = OpenedFile("a", Failing(data), 0, len(data))
    with pytest.raises(OSError, match="the storage is gone"):
        list(FORMATS[format].blocks(opened, Reading()))


def test_batch_holds_payloads_of_kept_rows_only_after_a_reject(tmp_path):
    (batch,), _ = read(formats.write(tmp_path, "parquet", [row(i) for i in range(5)]))
    assert isinstance(batch, Batch)
    kept = batch.reject({1: ("bad", "why"), 3: ("bad", "why")}, stage="inference")
    assert [orjson.loads(payload)["id"] for payload in kept.payloads] == ["r0", "r2", "r4"]
    assert [orjson.loads(reject.payload)["id"] for reject in kept.rejects] == ["r1", "r3"]
