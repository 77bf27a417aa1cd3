import gzip
import random
import re
from functools import partial
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from pipeline.connectors.files.earlier_files import EarlierFiles, Names, found_at_launch
from pipeline.connectors.files.parquet_file import ParquetFile
from pipeline.connectors.files.write import (
    FileSink,
    TemporaryFile,
    WriteBlocks,
    finalise,
    finalise_all,
    lines_file,
    remove_unfinished,
)
from pipeline.errors import OutputError
from tests.support.full_disk import files_end_at

CHUNKS = [b"a\nb\n", b"c\n"]


def write(prefix, chunks=CHUNKS, suffix=".jsonl", paths=None, create=lines_file):
    """Runs the transform, and checks the paths it puts out where they are given."""
    with beam.Pipeline(FnApiRunner()) as pipeline:
        write = WriteBlocks([FileSink("Lines", prefix, suffix, create)])
        written = pipeline | beam.Create(chunks, reshuffle=False) | write
        if paths is not None:
            assert_that(written, equal_to(paths))


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_chunks_become_one_shard_and_nothing_else(tmp_path):
    prefix = str(tmp_path / "new" / "out")
    write(prefix, paths=[f"{prefix}-00000-of-00001.jsonl"])
    assert contents(tmp_path / "new") == {"out-00000-of-00001.jsonl": b"a\nb\nc\n"}


def test_shard_on_cloud_storage_and_nothing_else(gcs, bucket):
    prefix = f"{bucket}/results/out"
    write(prefix, paths=[f"{prefix}-00000-of-00001.jsonl"])
    assert gcs.list(bucket) == [f"{prefix}-00000-of-00001.jsonl"]
    assert gcs.download(f"{prefix}-00000-of-00001.jsonl") == b"a\nb\nc\n"


BYTES = random.Random(1).randbytes(50_000)  # which no compression makes fewer
TABLE = pa.RecordBatch.from_pydict({"id": [BYTES.hex()]})


@pytest.mark.parametrize(
    ("suffix", "create", "chunk"),
    [
        (".jsonl", lines_file, b"x" * 5_000 + b"\n"),
        (".jsonl.gz", lines_file, BYTES + b"\n"),
        (".csv", partial(lines_file, header=b"x" * 5_000), b"a\n"),
        (".parquet", ParquetFile, TABLE),
    ],
    ids=["lines", "gzip", "header", "parquet"],
)
def test_full_disk_is_told_with_the_file_and_leaves_none(suffix, create, chunk, tmp_path):
    prefix = str(tmp_path / "out")
    told = rf"'{prefix}\.tmp-\w+/\w+{suffix}' cannot be written: OSError: .*File too large"
    with files_end_at(4_000), pytest.raises(OutputError, match=told):
        write(prefix, [chunk], suffix, create=create)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_mistake_of_a_writer_is_no_full_disk(tmp_path):
    def create(_path):
        raise TypeError("a mistake of ours")

    with pytest.raises(TypeError, match="a mistake of ours"):
        write(str(tmp_path / "out"), create=create)


def test_nothing_written_makes_no_file(tmp_path):
    write(str(tmp_path / "out"), chunks=[], paths=[])
    assert contents(tmp_path) == {}


def test_suffix_decides_on_compression(tmp_path):
    write(str(tmp_path / "out"), suffix=".jsonl.gz")
    packed = (tmp_path / "out-00000-of-00001.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == b"a\nb\nc\n"


def test_each_of_several_shards_begins_with_the_header(tmp_path):
    two = PipelineOptions(direct_num_workers=2, direct_running_mode="multi_threading")
    create = partial(lines_file, header=b"h\n")
    with beam.Pipeline(FnApiRunner(), options=two) as pipeline:
        sink = FileSink("Lines", str(tmp_path / "out"), ".csv", create)
        lines = beam.Create([b"%d\n" % i for i in range(40)], reshuffle=True)
        _ = pipeline | lines | WriteBlocks([sink])
    shards = [file.read_bytes().splitlines() for file in tmp_path.glob("out-*.csv")]
    assert len(shards) > 1
    assert {shard[0] for shard in shards} == {b"h"}
    assert sorted(int(line) for shard in shards for line in shard[1:]) == list(range(40))


def test_failing_bundle_leaves_no_final_file(tmp_path):
    def chunk_or_fail(chunk):
        if chunk == b"bad":
            raise ValueError("boom")
        return chunk

    with pytest.raises(Exception, match="boom"), beam.Pipeline(FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create([b"a\n", b"bad"], reshuffle=False)
            | beam.Map(chunk_or_fail)
            | WriteBlocks([FileSink("Lines", str(tmp_path / "out"), ".jsonl")])
        )
    assert not list(tmp_path.glob("out-*"))


def test_failing_move_fails_the_job(tmp_path):
    target = tmp_path / "out-00000-of-00001.jsonl"
    target.mkdir()
    same_size = b"x" * (target.stat().st_size - 1) + b"\n"
    prefix = str(tmp_path / "out")
    told = (
        rf"'({prefix}\.tmp-\w+)/\w+\.jsonl' cannot be moved to '{target}': it is a folder"
        r".*; what this one wrote stays in (\S+), from where it can be moved by hand"
    )
    with pytest.raises(OutputError, match=told) as caught:
        write(prefix, chunks=[same_size])
    folder, named = re.search(told, str(caught.value)).groups()
    assert folder == named
    remove_unfinished([folder], caught.value)
    assert [path.read_bytes() for path in Path(folder).iterdir()] == [same_size]


@pytest.fixture(params=["local", "gcs"])
def folder(request, tmp_path):
    """Where the files of a test are: a URI."""
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")


def temporary_files(folder, names):
    """Files as bundles leave them; each holds its own name."""
    made = []
    for name in names:
        path = f"{folder}/out.tmp-1/{name}"
        with FileSystems.create(path) as file:
            file.write(name.encode())
        made.append(TemporaryFile(path, len(name)))
    return made


def everything(folder):
    found = {}
    for file in FileSystems.match([f"{folder}/**"])[0].metadata_list:
        with FileSystems.open(file.path) as stream:
            found[file.path.removeprefix(f"{folder}/")] = stream.read()
    return found


FINAL = {"out-00000-of-00003": b"x", "out-00001-of-00003": b"yy", "out-00002-of-00003": b"zzz"}


def test_finalising_again_after_it_stopped_anywhere_gives_the_same_files(folder):
    files = temporary_files(folder, ["zzz", "x", "yy", "of a failed bundle"])[:3]
    FileSystems.rename([files[1].path], [f"{folder}/out-00000-of-00003"])
    for _ in range(2):
        paths = finalise(files, f"{folder}/out", "", f"{folder}/out.tmp-1")
        assert paths == [f"{folder}/{name}" for name in FINAL]
        assert everything(folder) == FINAL
    if "://" not in folder:
        assert not (Path(folder) / "out.tmp-1").exists()


def test_lost_temporary_file_is_not_mistaken_for_a_moved_one(folder):
    files = temporary_files(folder, ["x", "yy"])
    with FileSystems.create(f"{folder}/out-00001-of-00002") as earlier_run:
        earlier_run.write(b"older and longer")
    FileSystems.delete([files[1].path])
    told = r"yy' cannot be moved to .*out-00001-of-00002': it is gone; what"
    with pytest.raises(OutputError, match=told):
        finalise(files, f"{folder}/out", "", f"{folder}/out.tmp-1")


def test_move_to_a_missing_bucket_fails(bucket):
    files = temporary_files(bucket, ["x"])
    told = "to 'gs://no-such-bucket/out-00000-of-00001': bucket 'no-such-bucket' does not exist"
    with pytest.raises(OutputError, match=told):
        finalise(files, "gs://no-such-bucket/out", "", f"{bucket}/out.tmp-1")


def put(path, content):
    with FileSystems.create(path) as file:
        file.write(content)


def replace(folder, chunks, earlier):
    """Runs the transform with two sinks: the chunks go to the first, nothing to the second."""
    with beam.Pipeline(FnApiRunner()) as pipeline:
        made = [
            pipeline | f"Make{number}" >> beam.Create(some, reshuffle=False)
            for number, some in enumerate((chunks, []))
        ]
        sinks = [
            FileSink("Lines", f"{folder}/out", ".jsonl"),
            FileSink("Others", f"{folder}/bad", ".jsonl"),
        ]
        _ = tuple(made) | WriteBlocks(sinks, earlier)


@pytest.fixture
def earlier(folder):
    """What a launch finds of a run that wrote more files, in another format, and dead letters."""
    for name in ("out-00000-of-00002.jsonl", "out-00001-of-00002.jsonl", "out-00000-of-00001.csv"):
        put(f"{folder}/{name}", b"old")
    put(f"{folder}/bad-00000-of-00001.jsonl", b"old")
    # Neighbours, whose prefixes begin with this one.
    put(f"{folder}/out-2-00000-of-00001.jsonl", b"kept")
    put(f"{folder}/out.tmp-x/00000", b"kept")
    names = [Names(f"{folder}/out", (".jsonl", ".csv")), Names(f"{folder}/bad", (".jsonl",))]
    return found_at_launch(names)


KEPT = {"out-2-00000-of-00001.jsonl": b"kept", "out.tmp-x/00000": b"kept"}


@pytest.mark.parametrize("chunks", [CHUNKS, []])
def test_nothing_of_an_earlier_run_stays_beside_the_new_files(folder, earlier, chunks):
    replace(folder, chunks, earlier)
    new = {"out-00000-of-00001.jsonl": b"a\nb\nc\n"} if chunks else {}
    assert everything(folder) == KEPT | new


def test_job_that_fails_leaves_the_files_of_an_earlier_run_as_they_were(folder, earlier):
    before = everything(folder)
    with pytest.raises(Exception, match="bytes-like"):
        replace(folder, [b"a\n", None], earlier)
    after = {name: text for name, text in everything(folder).items() if "out.tmp-" not in name}
    assert after == {name: text for name, text in before.items() if "out.tmp-" not in name}


def test_finalising_again_deletes_no_new_file_that_has_the_name_of_an_earlier_one(folder):
    for name in ("out-00000-of-00003", "out-00001-of-00003", "out-00000-of-00001"):
        put(f"{folder}/{name}", b"an earlier run's")
    earlier = found_at_launch([Names(f"{folder}/out", ("",))])
    files = temporary_files(folder, ["zzz", "x", "yy"])
    places = [(f"{folder}/out", "", f"{folder}/out.tmp-1")]
    # An attempt that stopped when it had moved a first file.
    FileSystems.delete([f"{folder}/out-00000-of-00001"])
    FileSystems.rename([files[1].path], [f"{folder}/out-00000-of-00003"])
    for _ in range(2):
        finalise_all(b"", places, earlier, files)
        assert everything(folder) == FINAL


def test_copy_whose_original_an_attempt_did_not_get_to_delete_is_no_stranger(bucket):
    files = temporary_files(bucket, ["x", "yy", "zzz"])
    put(f"{bucket}/out-00000-of-00003", b"x")
    earlier = EarlierFiles((Names(f"{bucket}/out", ("",)),))
    finalise_all(b"", [(f"{bucket}/out", "", f"{bucket}/out.tmp-1")], earlier, files)
    assert everything(bucket) == FINAL


@pytest.mark.parametrize("name", ["out-00000-of-00001", "out-00000-of-00007"])
def test_files_that_another_job_wrote_meanwhile_are_neither_lost_nor_mixed_with(folder, name):
    put(f"{folder}/{name}", b"an earlier run's")
    earlier = found_at_launch([Names(f"{folder}/out", ("",))])
    put(f"{folder}/{name}", b"another job's")
    files = temporary_files(folder, ["x"])
    with pytest.raises(OutputError, match=rf"'{folder}/{name}' was written while this job ran"):
        finalise_all(b"", [(f"{folder}/out", "", f"{folder}/out.tmp-1")], earlier, files)
    assert everything(folder) == {name: b"another job's", "out.tmp-1/x": b"x"}
