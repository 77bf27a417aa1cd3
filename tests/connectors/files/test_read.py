"""Files of every format: the same records make the same batches, and damage costs only itself."""

import gzip
import io
import os
import re
import struct
import tempfile
from pathlib import Path

import fastavro
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
from pipeline.formats.registry import FORMATS, decoders, format_of
from pipeline.spec.record import RecordSpec
from tests.support import formats

RECORD = RecordSpec.model_validate(
    {
        "id": "id",
        "fields": {
            "x": {"dtype": "float32", "shape": [3]},
            "m": {"dtype": "float32", "shape": [2, 2]},
            "v": {"dtype": "float32", "shape": [None]},
            "n": {"dtype": "int16"},
            "k": {"dtype": "int64", "shape": [2]},
            "flag": {"dtype": "bool"},
            "text": {"dtype": "string"},
            "raw": {"dtype": "bytes"},
        },
    }
)
KEYS = ("id", *RECORD.fields, "tag")


def row(i, **changes):
    return {
        "id": f"r{i}",
        "x": [0.5, float(i), -1.25],
        "m": [[1.0, 2.0], [3.0, float(i)]],
        "v": [0.5] * (1 + i % 3),
        "n": i,
        "k": [i, -i],
        "flag": i % 2 == 0,
        "text": f'a "quoted", {i}\nsecond line',
        "raw": b"\xff\x00" + bytes([i % 256]),
        "tag": f"t{i}",
    } | changes


def blocks(path, block_rows=8, split_bytes=1 << 30, keys=KEYS, format="auto", most=32 << 20):
    reading = Reading(block_rows, format, keys, most, RECORD)
    return [
        block
        for file in match_input(str(path))
        for part in file_ranges.split_file(file, split_bytes, format)
        for block in read_range(part, reading)
    ]


def read(path, record=RECORD, pass_through=("tag",), **options):
    """The batches of a file, and what could not be read of it."""
    found = blocks(path, **options)
    decoder = decoders(record, pass_through)
    errors = [block.error for block in found if block.error]
    return [decoder[block.format].decode(block) for block in found], errors


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


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("split_bytes", [1 << 30, 400])
def test_file_that_shrinks_while_it_is_read_is_told(tmp_path, format, split_bytes):
    path = formats.write(tmp_path, format, [row(i) for i in range(60)])
    parts = list(file_ranges.split_file(match_input(str(path))[0], split_bytes))
    whole = path.stat().st_size
    assert not [b.error for part in parts for b in read_range(part, Reading()) if b.error]
    os.truncate(path, whole // 2)
    errors = [b.error for part in parts for b in read_range(part, Reading()) if b.error]
    told = [error for error in errors if "it was cut or replaced meanwhile" in error]
    assert told
    assert f"{path}: had {whole:,} bytes or more when the input was matched" in told[-1]


def parts_of(path, split_bytes=1 << 30):
    """The ranges of a file as it is now."""
    (file,) = match_input(str(path))
    return list(file_ranges.split_file(file, split_bytes, record=RECORD))


ARRAY = b"[\n" + b"\n,".join(b'{"id": "%d"}' % i for i in range(300)) + b"]\n"
MANY = [row(i) for i in range(300)]


@pytest.mark.parametrize(
    ("format", "data", "what"),
    [
        ("jsonl", ARRAY, "one JSON array"),
        ("jsonl", gzip.compress(ARRAY, compresslevel=0), "compressed"),
        ("csv", gzip.compress(formats.as_bytes("csv", MANY), compresslevel=0), "compressed"),
        ("tfrecord", gzip.compress(formats.as_bytes("tfrecord", MANY), 0), "compressed"),
        ("parquet", formats.as_bytes("parquet", MANY), "a Parquet file, whose index is at its end"),
    ],
    ids=["array", "lines", "csv", "tfrecord", "parquet"],
)
@pytest.mark.parametrize("split_bytes", [1 << 30, 400])
def test_larger_file_that_can_only_be_read_whole_is_told(tmp_path, format, data, what, split_bytes):
    """Else rows behind the end that the file had would be lost without a word."""
    path = formats.write(tmp_path, format, [row(i) for i in range(9)])
    before = path.stat().st_size
    part, *others = parts_of(path, split_bytes)
    path.write_bytes(data)
    for one in [part, *others] if format == "parquet" else [part]:
        (block,) = read_range(one, Reading(record=RECORD))
        assert not block.payloads
        assert block.error.startswith(f"{path}: had {before:,} bytes when the input was matched; ")
        assert f"read it had {len(data):,} and was {what}: it was replaced or written on" in (
            block.error
        )


@pytest.mark.parametrize("extension", ["csv", "jsonl", "tfrecord"])
def test_compressed_file_that_is_written_on_is_told(tmp_path, extension):
    path = tmp_path / f"a.{extension}.gz"
    path.write_bytes(gzip.compress(formats.as_bytes(extension, [row(0)])))
    (part,) = parts_of(path)
    path.write_bytes(path.read_bytes() * 2)
    (block,) = read_range(part, Reading(record=RECORD))
    assert (len(block.payloads), "was compressed: it was replaced or" in block.error) == (0, True)


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "parquet"])
@pytest.mark.parametrize("split_bytes", [1 << 30, 400])
def test_records_that_are_added_meanwhile_are_left_out_in_every_format(
    tmp_path, format, split_bytes
):
    path = formats.write(tmp_path, format, [row(i) for i in range(30)])
    parts = parts_of(path, split_bytes)
    added = [row(i) for i in range(30, 60)]
    with path.open("a+b") as file:
        if format == "avro":
            fastavro.writer(file, None, added)
        else:
            file.write(formats.as_bytes(format, added))
    found = [block for part in parts for block in read_range(part, Reading(8, record=RECORD))]
    assert [block.error for block in found] == [None] * len(found)
    decoder = decoders(RECORD)[format]
    batches = [decoder.decode(block) for block in found]
    assert [id for batch in batches for id in batch.ids] == [f"r{i}" for i in range(30)]
    assert not any(batch.rejects for batch in batches)


SMALL = RecordSpec.model_validate({"id": "id", "fields": {"n": {"dtype": "int32"}}})


@pytest.mark.parametrize("format", ["jsonl", "csv", "tfrecord"])
@pytest.mark.parametrize("split_bytes", [1 << 30, 16])
def test_record_that_was_written_in_part_when_its_file_was_matched_is_read_whole(
    tmp_path, format, split_bytes
):
    """Or it does not begin yet; never is a part of it taken for a record."""
    whole = formats.as_bytes(format, [{"id": f"r{i}", "n": 1000 + i} for i in range(3)])
    path = tmp_path / f"a.{format}"
    counts = []
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        parts = parts_of(path, split_bytes)
        path.write_bytes(whole)
        found = [block for part in parts for block in read_range(part, Reading(8, record=SMALL))]
        batches = [decoders(SMALL)[format].decode(block) for block in found]
        ids = [id for batch in batches for id in batch.ids]
        assert ids == [f"r{i}" for i in range(len(ids))]
        assert not any(batch.rejects for batch in batches)
        counts.append(len(ids))
    assert counts == sorted(counts)
    assert counts[-1] == 3


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


def ids(batches):
    return [int(record_id[1:]) for batch in batches for record_id in batch.ids]


def damaged(path, at, length=8):
    """Overwrites some bytes."""
    data = bytearray(path.read_bytes())
    data[at : at + length] = bytes(byte ^ 0x55 for byte in data[at : at + length])
    path.write_bytes(data)


@pytest.mark.parametrize("split_bytes", [1 << 30, 700])
def test_corrupt_avro_block_costs_only_its_records(tmp_path, split_bytes):
    path = formats.write(tmp_path, "avro", [row(i) for i in range(200)])
    damaged(path, path.stat().st_size // 2)
    batches, (error,) = read(path, split_bytes=split_bytes)
    found = ids(batches)
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] == 199
    assert 150 < len(found) < 200
    assert f"{path}, bytes " in error


def test_avro_file_that_was_cut_is_read_up_to_there(tmp_path):
    path = formats.write(tmp_path, "avro", [row(i) for i in range(200)])
    size = path.stat().st_size * 2 // 3
    path.write_bytes(path.read_bytes()[:size])
    batches, (error,) = read(path)
    assert ids(batches) == list(range(len(ids(batches))))
    assert 100 < len(ids(batches)) < 150
    assert f"to {size}: a block of records is cut" in error


def test_unknown_avro_compression_is_told_once(tmp_path):
    path = formats.write(tmp_path, "avro", [row(0)])
    path.write_bytes(path.read_bytes().replace(b"\x0edeflate", b"\x0edeflatf"))
    (block,) = blocks(path)
    assert "its Avro header cannot be read: unrecognized codec: deflatf" in block.error


@pytest.mark.parametrize("codec", ["null", "snappy", "zstandard", "bzip2", "xz"])
def test_avro_compression_is_decoded(tmp_path, codec):
    import fastavro

    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", "int"]}]}
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, schema, [{"n": 1}, {"n": None}, {"n": 3}], codec=codec)
    record = RecordSpec.model_validate({"fields": {"n": {"dtype": "int8"}}})
    ((batch,), errors) = read(tmp_path / "a.avro", record, ())
    assert errors == []
    assert batch.columns["n"].tolist() == [1, 3]
    assert [reject.error_message for reject in batch.rejects] == [
        "field 'n': found null, expected int8"
    ]


def tfrecord_offsets(path):
    """Where each record begins."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        yield at
        at += struct.unpack_from("<Q", data, at)[0] + 16


def test_tfrecord_with_a_wrong_checksum_is_left_out_and_told(tmp_path):
    path = formats.write(tmp_path, "tfrecord", [row(i) for i in range(20)])
    begin = list(tfrecord_offsets(path))[13]
    damaged(path, begin + 12)
    batches, (error,) = read(path)
    assert ids(batches) == [i for i in range(20) if i != 13]
    assert error == f"{path}, record 13 at byte {begin}: its checksum is wrong"


def test_tfrecord_whose_length_is_damaged_ends_the_file(tmp_path):
    path = formats.write(tmp_path, "tfrecord", [row(i) for i in range(20)])
    begin = list(tfrecord_offsets(path))[13]
    damaged(path, begin)
    batches, (error,) = read(path)
    assert ids(batches) == list(range(13))
    assert f"record 13 at byte {begin}: the checksum of its length is wrong; the rest" in error


@pytest.mark.parametrize("cut", [1, 17, 200])
def test_tfrecord_file_that_was_cut_is_read_up_to_there(tmp_path, cut):
    path = formats.write(tmp_path, "tfrecord", [row(i) for i in range(20)])
    size = path.stat().st_size - cut
    whole = sum(offset <= size for offset in tfrecord_offsets(path)) - 1
    path.write_bytes(path.read_bytes()[:size])
    batches, (error,) = read(path)
    assert ids(batches) == list(range(whole))
    assert "the file ends inside of it" in error


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


def test_corrupt_parquet_page_costs_at_most_its_row_group(tmp_path):
    rows = [row(i) for i in range(70)]
    path = formats.write(tmp_path, "parquet", rows)
    metadata = pq.ParquetFile(path).metadata
    damaged(path, metadata.row_group(4).column(0).dictionary_page_offset, 40)
    batches, (error,) = read(path)
    assert ids(batches) == [i for i in range(70) if not 28 <= i < 35]
    assert f"{path}, rows 28 to 34: cannot be read" in error


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
