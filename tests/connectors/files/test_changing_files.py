"""Files that are written on, cut or replaced between matching and reading."""

import gzip
import os

import fastavro
import pytest

from pipeline.connectors.files import ranges as file_ranges
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.format import Reading
from pipeline.formats.registry import FORMATS, decoders
from pipeline.spec.record import RecordSpec
from tests.connectors.files.records import RECORD, parts_of, row
from tests.support import formats


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
        assert f"nothing of {'this part of it' if others else 'it'} is read" in block.error


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
