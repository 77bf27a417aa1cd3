"""The first records of an input, of any format, before anything is declared."""

import json

import pytest

from pipeline.errors import PathError
from pipeline.launch.first_records import first_records
from tests.support import formats

ROWS = [{"id": f"r{i}", "x": [0.5, 1.0 * i], "n": i, "t": "text"} for i in range(30)]


@pytest.mark.parametrize("format", formats.EXTENSIONS)
def test_all_keys_of_the_first_records_come_from_every_format(tmp_path, format):
    path = formats.write(tmp_path, format, ROWS)
    found = first_records(str(path), 10)
    assert found.path == str(path)
    assert len(found.records) == 10
    text = (lambda v: v.decode() if isinstance(v, bytes) else v) if format == "tfrecord" else str
    for record, row in zip(found.records, ROWS, strict=False):
        assert record["x"] == pytest.approx(row["x"])
        assert record["n"] == row["n"]
        assert (text(record["id"]), text(record["t"])) == (row["id"], row["t"])


def test_compressed_file_is_read_too(tmp_path):
    path = formats.gzipped(formats.write(tmp_path, "csv", ROWS))
    assert len(first_records(str(path), 99).records) == 30


def test_folder_and_pattern_stand_for_their_files_and_empty_files_are_passed_over(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    formats.write(tmp_path, "jsonl", ROWS, name="b")
    for location in (tmp_path, f"{tmp_path}/*.jsonl"):
        assert first_records(str(location), 5).path == str(tmp_path / "b.jsonl")


@pytest.mark.parametrize("folder", ["{}", "{}/"])
def test_folders_of_a_folder_without_files_are_looked_into(tmp_path, folder):
    (tmp_path / "day=1/hour=02").mkdir(parents=True)
    formats.write(tmp_path / "day=1/hour=02", "jsonl", [{"a": 1}, {"a": 2, "day": "own"}])
    found = first_records(folder.format(tmp_path), 5).records
    assert found == ({"day": 1, "hour": "02", "a": 1}, {"day": "own", "hour": "02", "a": 2})


@pytest.mark.parametrize("content", [b"5,6\n1,2\n", "ä;ö\n0,5;x\n".encode("utf-16")])
def test_csv_is_read_as_it_looks(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    (record,) = first_records(str(tmp_path), 5).records[-1:]
    assert record in ({"column_1": 1, "column_2": 2}, {"ä": 0.5, "ö": "x"})


@pytest.mark.parametrize(
    "value",
    [list(range(5000)), [[0.5] * 100] * 50, [{"a": [1] * 2500, "b": [2] * 2500}], "x" * 320_000],
    ids=["list", "matrix", "objects", "text"],
)
def test_as_many_records_are_looked_at_as_memory_is_for(tmp_path, value):
    lines = [json.dumps({"id": i, "v": value}) for i in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert 30 < len(first_records(str(tmp_path), 60).records) < 50
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps({"v": [value] * 50})] * 12))
    assert len(first_records(str(tmp_path), 60).records) == 10


def test_records_that_cannot_be_read_are_passed_over(tmp_path):
    (tmp_path / "a.jsonl").write_text('nonsense\n{"a": 1}\n[2]\n{"a": 3}\n')
    assert first_records(str(tmp_path), 5).records == ({"a": 1}, {"a": 3})


@pytest.mark.parametrize(("name", "files"), [("a.JPG", "image"), ("a.WAV", "audio")])
def test_pictures_and_sounds_are_told_by_their_names(name, files, tmp_path):
    (tmp_path / name).write_bytes(b"")
    assert first_records(str(tmp_path), 5).are_files_of == files


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"nonsense\n", "a.jsonl: not JSON"),
        ("a.jsonl", b"", "holds no record"),
        ("a.parquet", b"nonsense", "is not a Parquet file"),
        ("a.avro", b"nonsense", "is not an Avro file"),
        ("a.csv", b"\na,b\n1,2\n", "line 1 is empty"),
        ("a.csv", b"# of 2024\na,b\n1,2\n", "a.csv has 1 line before the one that names"),
        ("a.csv", b"PK\x03\x04  a b\n", "a.csv: looks like a zip archive"),
        ("a.csv", b"a,b\r1,2\r", "a.csv: looks like text whose lines end with a carriage"),
        ("a.jsonl.gz", b"\x00nonsense", "cannot be read"),
        ("a.jsonl.gz", b"nonsense", "a.jsonl.gz: not JSON"),
    ],
)
def test_file_without_any_record_says_why(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PathError, match=reason):
        first_records(str(tmp_path / name), 5)


def test_nothing_there_is_said_so(tmp_path):
    with pytest.raises(PathError, match="matches no file"):
        first_records(str(tmp_path / "none"), 5)


def test_records_in_a_bucket(gcs, bucket):
    gcs.upload(f"{bucket}/in/a.parquet", formats.as_bytes("parquet", ROWS))
    assert len(first_records(f"{bucket}/in", 7).records) == 7
