"""What a file is, is looked at: compressed under any name, or plainly something else."""

import bz2
import gzip
import json
import lzma
import pickle
import tempfile
import zlib
from pathlib import Path

import pytest
import zstandard
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats import looks
from pipeline.formats.format import Reading
from pipeline.formats.registry import FORMATS
from pipeline.formats.tfrecord.format import framed
from pipeline.spec.record import CsvSpec, RecordSpec
from tests.support import formats

RECORD = RecordSpec.model_validate({"id": "id", "fields": {"n": {"dtype": "int64"}}})
RAW = RecordSpec.model_validate({"source": "raw", "fields": {"m": {"dtype": "bytes"}}})
ROWS = [{"id": f"r{i}", "n": i} for i in range(300)]

PACKERS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "skippable": lambda data: (
        b"\x50\x2a\x4d\x18\x02\x00\x00\x00hi" + zstandard.ZstdCompressor().compress(data)
    ),
}


def blocks(path, split_bytes=1 << 20, record=RECORD):
    reading = Reading(64, keys=("id", "n"), record=record)
    (file,) = match_input(str(path))
    parts = list(split_file(file, split_bytes))
    return [block for part in parts for block in read_range(part, reading)]


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("format", ["jsonl", "csv", "tfrecord"])
@pytest.mark.parametrize("split_bytes", [100, 1 << 20])
def test_compressed_file_is_read_under_any_name(tmp_path, format, packer, split_bytes):
    path = formats.write(tmp_path, format, ROWS)
    plain = [payload for block in blocks(path) for payload in block.payloads]
    path.write_bytes(PACKERS[packer](path.read_bytes()))
    assert list(input_checks.problems(str(path), "auto", RECORD)) == []
    found = blocks(path, split_bytes)
    assert [block.error for block in found if block.error] == []
    assert [payload for block in found for payload in block.payloads] == plain
    wrong = path.with_name(f"{path.name}.{'bz2' if packer == 'gzip' else 'gz'}")
    path.rename(wrong)
    assert [payload for block in blocks(wrong) for payload in block.payloads] == plain


@pytest.mark.parametrize("extension", [".gz", ".gzip", ".bz2", ".bzip2", ".zst", ".xz", ".deflate"])
@pytest.mark.parametrize("format", FORMATS)
def test_file_whose_name_alone_says_that_it_is_compressed_is_read(tmp_path, format, extension):
    path = formats.write(tmp_path, format, ROWS[:40])
    plain = [payload for block in blocks(path) for payload in block.payloads]
    path = path.rename(path.with_name(f"{path.name}{extension}"))
    assert list(input_checks.problems(str(path), "auto", RECORD)) == []
    for split_bytes in (40, 1 << 20):
        found = blocks(path, split_bytes)
        assert [block.error for block in found if block.error] == []
        assert [payload for block in found for payload in block.payloads] == plain


LINES = formats.as_bytes("jsonl", ROWS)
# All of these are looked at when a file is read, of others only the beginning.
FEW_LINES, FEW_ROWS = (formats.as_bytes(format, ROWS[:9]) for format in ("jsonl", "csv"))
FOREIGN = [
    ("jsonl", b"PK\x03\x04\x14\x00\x06\x00" + bytes(99), "a zip archive or a spreadsheet (.xlsx)"),
    ("csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "a spreadsheet (.xls)"),
    ("csv", "id,n\nä,1\n".encode("utf-16"), "text in UTF-16"),
    ("csv", "id,n\na,1\nb,2\n".encode("utf-16-le"), "text in UTF-16"),
    ("jsonl", LINES.decode().encode("utf-16-be"), "text in UTF-16"),
    ("jsonl", b"ARROW1\x00\x00" + bytes(99), "an Arrow file"),
    ("csv", b"\xff\xff\xff\xff\x88\x03\x00\x00" + bytes(99), "an Arrow file"),
    ("jsonl", b"ORC\n\x0b\x00\x00" + bytes(99), "an ORC file"),
    ("jsonl", pickle.dumps(ROWS), "a pickle of Python"),
    ("csv", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', }", "an array of NumPy"),
    ("csv", b"a.csv".ljust(257, b"\x00") + b"ustar\x00" + bytes(249) + FEW_ROWS, "a tar archive"),
    ("jsonl", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(99), "an archive (.7z, .rar)"),
    ("csv", b"\x04\x22\x4d\x18" + bytes(99), "a compressed file (lz4, snappy)"),
    ("jsonl", b"\x1e" + FEW_LINES.replace(b"\n{", b"\n\x1e{"), "a JSON text sequence"),
    ("csv", formats.as_bytes("parquet", ROWS), "a Parquet file: name it .parquet"),
    ("tfrecord", formats.as_bytes("avro", ROWS), "an Avro file: name it .avro"),
    ("jsonl", formats.as_bytes("tfrecord", ROWS), "a TFRecord file: name it .tfrecord"),
    ("csv", formats.as_bytes("tfrecord", ROWS[:1]), "a TFRecord file: name it .tfrecord"),
    ("tfrecord", LINES, "something else than TFRecord"),
    ("jsonl", b"\n<!DOCTYPE html>\n<html><body>403</body></html>", "a web page"),
    ("csv", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page or XML"),
    ("jsonl", b"[\n [1, 2],\n [3, 4]\n]\n", "one JSON array without objects"),
    ("jsonl", b"".join(json.dumps(r, indent=1).encode() + b"\n" for r in ROWS), "several lines"),
    ("jsonl", b'{"rows": [\n  {"id": "a", "n": 1}\n]}\n', "several lines"),
    ("jsonl", b'{"id": "a",\n "n": 1}\n{"id": "b",\n "n": 2}\n', "several lines"),
    ("jsonl", FEW_LINES.replace(b"\n", b""), "several objects in one line"),
    ("jsonl", FEW_LINES.replace(b"\n", b"\r"), "several objects in one line"),
    ("jsonl", FEW_LINES.replace(b"\n", b",\n"), "a part of a JSON array"),
    ("jsonl", FEW_LINES.replace(b"\n", b" ,\r\n") + b"]\n", "a part of a JSON array"),
    ("jsonl", FEW_LINES.replace(b"\n", b",\n") + FEW_LINES[:12], "a part of a JSON array"),
    ("jsonl", FEW_ROWS, "a table with commas"),
    ("jsonl", FEW_ROWS.replace(b",", b";"), "a table with semicolons"),
    ("jsonl", b"|".join(b"%d" % n for n in range(120)) + b"\n1|2|3", "a table with bars"),
    ("csv", formats.as_bytes("csv", ROWS).replace(b"\n", b"\r"), "a carriage return alone"),
    ("csv", b"id,n\ra,1\r", "a carriage return alone"),
    ("csv", b'id,"n, and\nmore"\ra,1\r', "a carriage return alone"),
    (
        "jsonl",
        LINES.replace(b",", b"\t").replace(b"{", b"").replace(b"}", b""),
        "a table with tabs",
    ),
]


@pytest.mark.parametrize(
    ("format", "data", "says"),
    FOREIGN,
    ids=range(len(FOREIGN)),  # some bytes differ from one process to the next
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("extension", ["", ".gz"])
def test_file_of_another_kind_is_refused_at_launch_and_is_one_dead_letter_later(
    tmp_path, format, data, says, packed, extension
):
    path = tmp_path / f"a.{formats.EXTENSIONS[format]}{extension}"
    path.write_bytes(gzip.compress(data) if packed else data)
    (problem,) = input_checks.problems(str(path), "auto", RECORD)
    assert problem.startswith(f"{path}: looks like ")
    assert says in problem
    for split_bytes in (40, 1 << 20):
        (block,) = blocks(path, split_bytes)
        assert (len(block.payloads), block.error) == (0, problem)


@pytest.mark.parametrize("name", ["PAR1", "ARROW1", "FEA1"])
def test_name_of_a_column_may_be_the_sign_of_a_binary_format(tmp_path, name):
    path = tmp_path / "a.csv"
    path.write_bytes(f"{name},id,n\n1,a,1\n2,b,2\n".encode())
    assert list(input_checks.problems(str(path), "auto", RECORD)) == []
    assert [len(block.payloads) for block in blocks(path)] == [2]


def test_only_the_first_bytes_say_that_a_text_is_an_array():
    """What follows may be a whole chunk, and the pattern tries each pair of places in it."""
    array = b"[\n1,%s\n{"
    assert looks.is_json_array(array % (b" " * (looks.HEAD_BYTES - 6)))
    assert not looks.is_json_array(array % (b" " * looks.HEAD_BYTES))


GOOD = b'{"id": "a", "n": 1}\n'


@pytest.mark.parametrize(
    "first",
    [
        *(
            b'{"id": "a", "n": 1}{"id": "b", "n": 2}',
            b"[1, 2]",
            b"a, b",
            b'"{"',
            b"",
            b'{"id": "a",',
            b'{"id": "a", "n": 1},',
            b"]",
        ),
        b'{"id": "a"}' * 99,
        b"\n".join([b"# made by a, b and c", b"# on a, b and c"] * 20),
        b'{"id": "a", "n":\n {"x": "' + b"y" * 600 + b'"}}',
    ],
)
def test_first_lines_that_are_no_objects_cost_themselves_where_objects_follow(tmp_path, first):
    path = tmp_path / "a.jsonl"
    path.write_bytes(first + b"\n" + GOOD * 2)
    assert list(input_checks.problems(str(path), "auto", RECORD)) == []
    expected = len(first.split(b"\n")) + 2
    assert [len(block.payloads) for block in blocks(path)] == [expected]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LINES.replace(b"\n", b"") * 50, "several objects in one line"),
        (LINES.replace(b"\n", b",\n") * 50, "a part of a JSON array"),
        (LINES.replace(b"\n", b",\n") * 50 + GOOD, "a part of a JSON array"),
    ],
)
def test_large_file_without_an_object_in_a_line_is_refused_at_launch(tmp_path, packed, text, says):
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(text) if packed else text)
    (problem,) = input_checks.problems(str(path), "auto", RECORD)
    assert says in problem
    found = sum(len(block.payloads) for block in blocks(path))
    assert found == max(text.count(b"\n"), 1), "and dead letters later"


@pytest.mark.parametrize("extension", ["", ".gz"])
def test_utf_16_that_is_declared_is_read_under_any_name(tmp_path, extension):
    path = tmp_path / f"a.csv{extension}"
    path.write_bytes("id,n\na,1\nb,2\n".encode("utf-16"))
    record = RECORD.model_copy(update={"csv": CsvSpec(encoding="utf-16")})
    assert list(input_checks.problems(str(path), "auto", record)) == []
    assert [len(block.payloads) for block in blocks(path, record=record)] == [2]


def test_byte_of_a_letter_in_utf_16_is_no_carriage_return():
    head = "".join(f"číslo{i}," for i in range(60)).encode("utf-16")
    assert looks.foreign(head, "csv", "utf-16") == ""


@pytest.mark.parametrize("quoted", [b'"i\rd",n\r\na,1\r\n', b'id,n\na,"1\r"\n', b"id,n\r\na,1"])
def test_carriage_returns_in_quotes_or_before_line_feeds_are_no_line_ends_of_old_macs(quoted):
    assert looks.foreign(quoted, "csv") == ""


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_object_with_content_encoding_is_read(gcs, bucket, name):
    text = formats.as_bytes("jsonl", ROWS)
    gcs.upload_packed(f"{bucket}/{name}", gzip.compress(text), "text/plain")
    assert list(input_checks.problems(f"{bucket}/{name}", "auto", RECORD)) == []
    found = blocks(f"{bucket}/{name}")
    assert [payload for block in found for payload in block.payloads] == text.splitlines()


@pytest.mark.parametrize(
    "written",
    [
        gzip.compress(formats.as_bytes("jsonl", ROWS)),
        json.dumps(ROWS).encode(),
        json.dumps(ROWS[0], indent=1).encode(),
    ],
    ids=["compressed", "array", "object over lines"],
)
def test_large_object_that_is_no_lines_is_not_cut_whatever_its_name(gcs, bucket, written):
    gcs.upload(f"{bucket}/a.jsonl", written)
    (file,) = match_input(f"{bucket}/a.jsonl")
    assert len(list(split_file(file, 16, options=PipelineOptions([])))) == 1


def test_large_object_of_lines_is_cut(gcs, bucket):
    gcs.upload(f"{bucket}/a.jsonl", formats.as_bytes("jsonl", ROWS))
    (file,) = match_input(f"{bucket}/a.jsonl")
    assert len(list(split_file(file, 16, options=PipelineOptions([])))) > 1


def test_object_that_beam_refuses_is_refused_at_launch_and_one_dead_letter_later(gcs, bucket):
    path = f"{bucket}/a.jsonl.gz"
    packed = gzip.compress(formats.as_bytes("jsonl", ROWS))
    gcs.upload_packed(path, packed, "application/gzip")
    (problem,) = input_checks.problems(path, "auto", RECORD)
    (block,) = blocks(path)
    assert not block.payloads
    assert "`Content-Encoding: gzip` and a type of gzip as well; leave out one" in problem
    assert block.error == problem


def test_lines_that_nobody_decodes_may_look_like_anything(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'[{"a": 1}]\n<html>\na\tb\n')
    assert list(input_checks.problems(str(path), "auto", RAW)) == []
    assert [len(block.payloads) for block in blocks(path, record=RAW)] == [3]


@pytest.mark.parametrize(("format", "written"), [("jsonl", "tfrecord"), ("tfrecord", "jsonl")])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_whole_records_are_refused_where_the_file_tells_them_apart_otherwise(
    tmp_path, format, written, pack
):
    path = tmp_path / f"a.{format}"
    path.write_bytes(pack(formats.as_bytes(written, ROWS)))
    (problem,) = input_checks.problems(str(path), "auto", RAW)
    assert "TFRecord" in problem
    (block,) = blocks(path, record=RAW)
    assert (len(block.payloads), block.error) == (0, problem)


@pytest.mark.parametrize("level", range(1, 10))
def test_tfrecord_may_be_compressed_as_zlib_leaves_it(tmp_path, level):
    """As `TFRecordWriter(options="ZLIB")` does; no other format has these two bytes for itself."""
    path = tmp_path / "a.tfrecord"
    path.write_bytes(zlib.compress(formats.as_bytes("tfrecord", ROWS), level))
    assert list(input_checks.problems(str(path), "auto", RECORD)) == []
    assert sum(len(block.payloads) for block in blocks(path)) == len(ROWS)
    assert looks.compression(path.read_bytes(), "csv") == ""


def test_tfrecord_is_one_whatever_its_first_bytes(tmp_path):
    for magic in (b"\x1f\x8b\x08", b"PK\x03"):  # bytes of the length of the first record
        path = tmp_path / "a.tfrecord"
        path.write_bytes(framed(bytes(int.from_bytes(magic, "little"))) + framed(b"second"))
        assert path.read_bytes().startswith(magic)
        assert list(input_checks.problems(str(path), "auto", RECORD)) == []
        payloads = [payload for block in blocks(path) for payload in block.payloads]
        assert [len(payload) for payload in payloads] == [int.from_bytes(magic, "little"), 6]


rows = st.lists(
    st.builds(
        lambda t, n: {"id": t, "n": n}, st.text(max_size=9), st.integers(-(2**63), 2**63 - 1)
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=30, deadline=None)
@given(rows)
def test_file_of_a_format_never_looks_like_something_else(format, rows):
    with tempfile.TemporaryDirectory() as folder:
        head = formats.write(Path(folder), format, rows).read_bytes()[: looks.HEAD_BYTES]
    assert looks.compression(head, format) == ""
    assert looks.foreign(head, format) == ""
