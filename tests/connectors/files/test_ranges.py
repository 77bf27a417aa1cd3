import gzip
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from pipeline.connectors.files.ranges import FileRange, split_file
from pipeline.connectors.files.read import ReadBlocks, read_range
from pipeline.connectors.files.write import FileSink, WriteBlocks
from pipeline.connectors.storage.paths import match_input
from pipeline.errors import PathError
from pipeline.formats.format import Reading


def numbered(n):
    return b"".join(b'{"id": %d}\n' % i for i in range(n))


def read(pattern, split_bytes=100, block_rows=8):
    """All blocks, without Beam."""
    return [
        block
        for file in match_input(str(pattern))
        for part in split_file(file, split_bytes)
        for block in read_range(part, Reading(block_rows))
    ]


def check_pipeline_reads(pattern, expected, block_rows, split_bytes):
    """Runs the transform; `expected` maps (source, payload) to how often it must come."""

    def same(blocks):
        assert (
            Counter((block.source, line) for block in blocks for line in block.payloads) == expected
        )
        assert all(len(block.payloads) <= block_rows for block in blocks)

    with beam.Pipeline(FnApiRunner()) as pipeline:
        assert_that(pipeline | ReadBlocks(str(pattern), Reading(block_rows), split_bytes), same)


def test_all_lines_of_all_files_arrive_with_their_source(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + numbered(1000))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"one\r\n\r\nthree"))
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "other.txt").write_bytes(b"not matched\n")
    expected = Counter((f"{tmp_path}/a.jsonl", line) for line in numbered(1000).splitlines())
    expected.update((f"{tmp_path}/b.jsonl.gz", line) for line in (b"one", b"", b"three"))
    check_pipeline_reads(tmp_path / "*.jsonl*", expected, block_rows=16, split_bytes=500)


def test_all_lines_arrive_from_cloud_storage(gcs, bucket):
    gcs.upload(f"{bucket}/in/a.jsonl", numbered(300))
    gcs.upload(f"{bucket}/in/b.jsonl.gz", gzip.compress(numbered(5)))
    expected = Counter((f"{bucket}/in/a.jsonl", line) for line in numbered(300).splitlines())
    expected.update((f"{bucket}/in/b.jsonl.gz", line) for line in numbered(5).splitlines())
    check_pipeline_reads(f"{bucket}/in/*", expected, block_rows=64, split_bytes=1000)


@given(st.integers(0, 10_000), st.integers(1, 12_000))
def test_ranges_of_a_file_follow_each_other_and_are_of_one_size(
    tmp_path_factory, size, split_bytes
):
    path = tmp_path_factory.mktemp("ranges") / "a.jsonl"
    path.write_bytes((b'{"a": 1}\n' * 1200)[:size])
    parts = list(split_file(match_input(str(path))[0], split_bytes))
    assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])][: len(parts)]
    assert sum(part.end - part.start for part in parts) == size
    sizes = {part.end - part.start for part in parts[:-1]}
    assert len(sizes) <= 1
    assert all(part.end - part.start <= split_bytes for part in parts)
    if parts:
        assert parts[0].end - (parts[-1].end - parts[-1].start) < len(parts)


def test_one_file_is_read_and_written_by_two_processes(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(numbered(1000))
    size = (tmp_path / "in.jsonl").stat().st_size
    options = PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    with beam.Pipeline(FnApiRunner(), options) as pipeline:
        _ = (
            pipeline
            | ReadBlocks(str(tmp_path / "in.jsonl"), split_bytes=size // 4)
            | beam.Map(
                lambda block: b"".join(
                    b"%d %b\n" % (__import__("os").getpid(), line) for line in block.payloads
                )
            )
            | WriteBlocks([FileSink("Lines", str(tmp_path / "out"), ".txt")])
        )
    written = [
        line.split(b" ", 1)
        for file in tmp_path.glob("out*")
        for line in file.read_bytes().splitlines()
    ]
    assert sorted(line for _, line in written) == sorted(numbered(1000).splitlines())
    assert len({process for process, _ in written}) == 2
    assert [file.name for file in sorted(tmp_path.glob("out*"))] == [
        "out-00000-of-00002.txt",
        "out-00001-of-00002.txt",
    ]


def test_truncated_file_ends_in_a_block_that_says_where(tmp_path):
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(numbered(50))[:-9])
    (tmp_path / "good.jsonl").write_bytes(numbered(3))
    *whole, last = read(tmp_path / "cut.jsonl.gz")
    lines = [line for block in whole for line in block.payloads]
    assert lines == numbered(50).splitlines()[: len(lines)]
    assert len(lines) > 40
    assert last.payloads == ()
    assert last.error.startswith(f"{tmp_path}/cut.jsonl.gz cannot be read to its end")
    assert f"after {len(lines)} whole lines" in last.error
    assert sum(len(block.payloads) for block in read(tmp_path / "*")) == len(lines) + 3


@pytest.mark.parametrize("place", ["local", "gcs"])
def test_file_that_vanished_after_the_match_fails_by_name(place, tmp_path, bucket):
    path = f"{tmp_path if place == 'local' else bucket}/gone.jsonl"
    with pytest.raises(FileNotFoundError, match=rf"{path}: was there .* is gone now"):
        list(read_range(FileRange(path, 0, 10), Reading(8)))


def test_pattern_without_match_fails_the_job(tmp_path):
    with (
        pytest.raises(PathError, match="matches no file"),
        beam.Pipeline(FnApiRunner()) as pipeline,
    ):
        _ = pipeline | ReadBlocks(str(tmp_path / "*.jsonl"))


def test_relative_pattern_without_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(numbered(2))
    assert [block.source for block in read("*.jsonl")] == ["a.jsonl"]
