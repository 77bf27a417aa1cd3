"""Image files as blocks: every file once, bounded groups, trouble with one costs no other."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from pipeline.batch.block import Block, Origin
from pipeline.connectors.files import whole_files
from pipeline.connectors.files.read import ReadBlocks
from pipeline.connectors.files.whole_files import FileGroup, match_groups, read_group
from pipeline.errors import PathError
from pipeline.formats.format import Reading
from pipeline.formats.image import ImageFiles
from pipeline.formats.registry import decoders
from pipeline.spec.record import FieldSpec, RecordSpec

RECORD = RecordSpec(source="image", fields={"file": FieldSpec(dtype="bytes")})


def write(folder, **contents):
    for name, data in contents.items():
        (folder / f"{name}.jpg").write_bytes(data)


def blocks(pattern, rows=100):
    return [block for group in match_groups(str(pattern), rows) for block in read_group(group)]


def check_pipeline_reads(pattern, expected):
    def same(found):
        files = Counter(
            pair for b in found for pair in zip(b.payloads.paths, b.payloads.contents, strict=True)
        )
        assert files == Counter(expected.items())

    with beam.Pipeline(FnApiRunner()) as pipeline:
        assert_that(pipeline | ReadBlocks(str(pattern), Reading(2, "image")), same)


def test_every_file_is_a_record_also_an_empty_one(tmp_path):
    contents = {"a": b"1", "b": b"", "c": b"3", "d": b"4", "e": b"5"}
    write(tmp_path, **contents)
    expected = {f"{tmp_path}/{name}.jpg": data for name, data in contents.items()}
    check_pipeline_reads(tmp_path / "*.jpg", expected)


def test_files_arrive_from_cloud_storage(bucket, gcs):
    expected = {f"{bucket}/in/{i}.png": b"%d" % i for i in range(5)}
    for uri, data in expected.items():
        gcs.upload(uri, data)
    check_pipeline_reads(f"{bucket}/in/*", expected)


def test_groups_are_bounded_by_rows_and_by_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_files, "MAX_BLOCK_BYTES", 10)
    write(tmp_path, a=b"xxxx", b=b"xxxx", c=b"xxxx", d=b"x" * 30, e=b"", f=b"", g=b"", h=b"")
    groups = match_groups(f"{tmp_path}/*", 3)
    names = [[Path(path).stem for path, _ in group.files] for group in groups]
    assert names == [["a", "b"], ["c"], ["d"], ["e", "f", "g"], ["h"]]


def test_file_that_is_gone_and_file_that_is_too_large_cost_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_files, "MAX_FILE_BYTES", 100)
    write(tmp_path, a=b"1", b=b"2", c=b"x" * 101)
    (group,) = match_groups(f"{tmp_path}/*", 10)
    (tmp_path / "b.jpg").unlink()
    read, gone, large = read_group(group)
    assert read.payloads.contents == (b"1",)
    assert gone.error == f"{tmp_path}/b.jpg: was there when the input was matched, and is gone now"
    assert "found a file of 101 bytes, expected an image of at most 100" in large.error
    assert len(gone.payloads) == len(large.payloads) == 0


def test_object_that_beam_refuses_costs_no_other(bucket, gcs):
    gcs.upload(f"{bucket}/a.png", b"1")
    gcs.upload_packed(f"{bucket}/b.png", gzip.compress(b"2"), "application/gzip")
    (group,) = match_groups(f"{bucket}/*", 10)
    read, refused = read_group(group)
    assert read.payloads.contents == (b"1",)
    assert not refused.payloads
    assert "`Content-Encoding: gzip` and a type of gzip as well; leave out one" in refused.error


def test_storage_that_refuses_is_left_to_the_runner(tmp_path, forbidden_gcs):
    group = FileGroup((("gs://b/a.jpg", 1), ("gs://b/b.jpg", 1)))
    with pytest.raises(Exception, match="403"):
        list(read_group(group))


def test_pattern_without_a_file_is_refused(tmp_path):
    with pytest.raises(PathError):
        list(match_groups(f"{tmp_path}/*", 10))


def test_records_have_path_as_id_and_their_payload_is_not_the_file():
    files = ImageFiles(("gs://b/é.jpg", "/b.jpg"), (b"\xff\xd8", b""))
    block = Block(files, files.paths[0], origins=(Origin(1, {}), Origin(2, {})), format="image")
    batch = decoders(RECORD)["image"].decode(block)
    assert batch.ids == ("gs://b/é.jpg", "/b.jpg")
    assert [json.loads(payload) for payload in batch.payloads] == [
        {"path": "gs://b/é.jpg"},
        {"path": "/b.jpg"},
    ]
    assert batch.columns["file"].tolist() == [b"\xff\xd8", b""]
    assert [origin.event_time_us for origin in batch.origins] == [1, 2]


def test_image_whose_name_is_not_utf8_has_an_id_that_can_be_written(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(name).write_bytes(b"x")
    (block,) = read_group(FileGroup(((name, 1), (f"{name}.gone", 1))[:1]))
    record = RecordSpec(source="image", fields={"image": FieldSpec(dtype="bytes")})
    batch = decoders(record)["image"].decode(block)
    (only,) = batch.ids
    assert json.loads(batch.payloads[0])["path"] == only
    assert only.encode().endswith(b"udce9.png")
