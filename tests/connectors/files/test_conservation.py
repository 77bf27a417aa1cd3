"""Every line and row of every file comes out once: as a prediction's row, or as a dead letter.

The one exception is a header, and only if it names all that a record needs.
"""

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.format import Reading
from pipeline.formats.registry import FORMATS, decoders
from pipeline.spec.record import RecordSpec
from tests.support import formats

RECORD = RecordSpec.model_validate(
    {
        "id": "id",
        "fields": {"x": {"dtype": "float32", "shape": [2]}, "n": {"dtype": "int8"}},
    }
)
KEYS = ("x", "n", "id", "note")
DECODERS = decoders(RECORD, ("note",))
HEADER = b"id,x_0,x_1,n,note"


def blocks(folder, block_rows, split_bytes, record=RECORD):
    """The blocks of all files of a folder, as several readers have them."""
    reading = Reading(block_rows, keys=KEYS, record=record)
    return [
        block
        for file in match_input(f"{folder}/*")
        for part in split_file(file, split_bytes)
        for block in read_range(part, reading)
    ]


def outcomes(found, decoders=DECODERS):
    """How many rows and rejects the blocks become; each row of a block is one of the two."""
    good = bad = 0
    for block in found:
        assert block.error is None, block.error
        batch = decoders[block.format].decode(block)
        assert len(batch) + len(batch.rejects) == len(block.payloads)
        good, bad = good + len(batch), bad + len(batch.rejects)
    return good, bad


rows = st.builds(
    lambda x, n, note: {"x": x, "n": n, "note": note},
    x=st.lists(st.floats(width=32), min_size=1, max_size=3),
    n=st.integers(-300, 300),
    note=st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=4),
)
files = st.lists(st.lists(rows, max_size=12), min_size=1, max_size=3)
ways = st.tuples(st.integers(1, 9), st.sampled_from([60, 200, 1 << 20]), st.booleans())


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=25, deadline=None)
@given(files, ways)
def test_rows_of_files_of_every_format_are_predictions_and_dead_letters(format, contents, way):
    block_rows, split_bytes, packed = way
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(contents):
            made = [{"id": f"{number}-{i}", **row} for i, row in enumerate(content)]
            if not made:
                continue
            path = formats.write(Path(folder), format, made, name=str(number))
            if packed and not FORMATS[format].compresses_itself:
                formats.gzipped(path)
                path.unlink()
        if not any(contents):
            return
        found = blocks(folder, block_rows, split_bytes)
    assert sum(outcomes(found)) == sum(map(len, contents))


lines = st.lists(
    st.sampled_from([HEADER, b"a,1,2,3,z", b"a,1,2,300,z", b"b,1,2,3", b"", b"id,x_0,x_1,n"])
    | st.text(st.sampled_from('a1,"\n'), max_size=6).map(str.encode),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(lines, min_size=1, max_size=3), st.integers(1, 5))
def test_every_line_is_a_record_where_the_ensemble_file_names_the_columns(parts, block_rows):
    names = HEADER.decode().split(",")
    record = RecordSpec.model_validate({**RECORD.model_dump(), "csv": {"header": names}})
    with tempfile.TemporaryDirectory() as folder:
        expected = b""
        for number, part in enumerate(parts):
            text = b"".join(line + b"\n" for line in part)
            (Path(folder) / f"{number}.csv").write_bytes(text)
            expected += text.removeprefix(HEADER + b"\n")
        found = blocks(folder, block_rows, 1 << 20, record)
    assert b"".join(line + b"\n" for block in found for line in block.payloads) == expected
    outcomes(found, decoders(record, ("note",)))


@pytest.mark.parametrize("packed", [False, True])
@settings(max_examples=60, deadline=None)
@given(st.lists(lines, min_size=1, max_size=3), st.integers(1, 5), st.booleans())
def test_every_line_of_a_csv_file_is_a_header_or_a_record(packed, parts, block_rows, dos):
    with tempfile.TemporaryDirectory() as folder:
        expected = b""
        for number, part in enumerate(parts):
            text = b"".join(line + b"\n" for line in part)
            name, stored = f"{number}.csv", text.replace(b"\n", b"\r\n") if dos else text
            if packed:
                name, stored = f"{name}.gz", gzip.compress(stored)
            (Path(folder) / name).write_bytes(stored)
            first, *others = text.split(b"\n")
            is_header = first in (HEADER, b"id,x_0,x_1,n")
            expected += b"\n".join(others) if is_header else text
        found = blocks(folder, block_rows, 1 << 20)
    outcomes(found)
    lines = b"".join(line + b"\n" for block in found for line in block.payloads)
    assert lines.replace(b"\r\n", b"\n") == expected


def test_part_without_a_header_is_dead_letters_that_say_so(tmp_path):
    (tmp_path / "a.csv").write_bytes(HEADER + b"\na,1,2,3,\n")
    (tmp_path / "b.csv").write_bytes(b"b,4,5,6,\nc,7,8,9,\n")
    (tmp_path / "c.csv").write_bytes(b"id,x_0,x_1\nd,1,2\n")
    found = blocks(tmp_path, 8, 1 << 20)
    rejects = [r for block in found for r in DECODERS["csv"].decode(block).rejects]
    assert [r.payload for r in rejects] == [b"b,4,5,6,", b"c,7,8,9,", b"id,x_0,x_1", b"d,1,2"]
    assert {r.error_type for r in rejects} == {"no_header"}
    assert rejects[1].error_message == (
        f"{tmp_path}/b.csv, line 2: line 1 of the file names b, 4, 5, 6, , and no columns 'id', "
        "'x', 'n': it is taken for a record, not for a header. Each CSV file needs a header line "
        "of its own, unless `record: {csv: {header: [NAME, ...]}}` names the columns of all"
    )
    assert "no column 'n'" in rejects[2].error_message
