"""Damage inside of a file costs what it covers, and is told."""

import struct

import fastavro
import pyarrow.parquet as pq
import pytest

from pipeline.spec.record import RecordSpec
from tests.connectors.files.records import blocks, ids, read, row
from tests.support import formats


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


def test_corrupt_parquet_page_costs_at_most_its_row_group(tmp_path):
    rows = [row(i) for i in range(70)]
    path = formats.write(tmp_path, "parquet", rows)
    metadata = pq.ParquetFile(path).metadata
    damaged(path, metadata.row_group(4).column(0).dictionary_page_offset, 40)
    batches, (error,) = read(path)
    assert ids(batches) == [i for i in range(70) if not 28 <= i < 35]
    assert f"{path}, rows 28 to 34: cannot be read" in error
