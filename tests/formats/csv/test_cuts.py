"""A file that is cut has the rows that it has in one piece, in the same places."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.csv import cuts as csv_cuts
from pipeline.formats.csv import rows as csv_rows
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.format import Reading
from pipeline.formats.lines import CHUNK_BYTES
from pipeline.spec.record import RecordSpec

RECORD = RecordSpec.model_validate({"id": "id", "fields": {"x": {"dtype": "float32"}}})
ROWS = st.sampled_from(
    [
        *(b"a,1.5,z", b"b,2", b"c,oops,z", b'"d",3,"two\nlines"', b'e,4,"say ""so"""', b""),
        *(b'f,5,"never closed', b'g,6,a"b', b'"h\r\n,",7,', b"\xef\xbb\xbfi,8,z", b"\xff,9,z"),
    ]
)


def outcomes(path, parts, record=RECORD, block_rows=3):
    decoder, reading = CsvDecoder(record, ["note"]), Reading(block_rows, record=record)
    blocks = [block for part in parts for block in read_range(part, reading)]
    batches = [decoder.decode(block) for block in blocks]
    rows = [row for batch in batches for row in zip(batch.ids, batch.payloads, strict=True)]
    return rows, [reject for batch in batches for reject in batch.rejects]


def parts_of(path, split_bytes, record=RECORD):
    (file,) = match_input(str(path))
    return list(split_file(file, split_bytes, record=record))


@given(
    rows=st.lists(ROWS, max_size=12),
    header=st.sampled_from([b"id,x,note", b'\xef\xbb\xbf"id","x",note', b"1,2,3", b'"id,x']),
    end=st.sampled_from([b"\n", b"\r\n"]),
    split_bytes=st.integers(1, 40),
)
@example(rows=[b"a,1,z"] * 3, header=b"id,x,note", end=b"\n", split_bytes=6)
def test_rows_dead_letters_and_their_lines_are_the_same(
    tmp_path_factory, rows, header, end, split_bytes
):
    path = tmp_path_factory.mktemp("cut") / "a.csv"
    path.write_bytes(end.join([header, *rows]))
    parts = parts_of(path, split_bytes)
    whole = parts_of(path, 1 << 30)
    assert len(whole) == 1
    assert outcomes(path, parts) == outcomes(path, whole)


def test_large_file_is_cut_about_where_it_should_be_and_not_inside_of_quotes(tmp_path):
    path = tmp_path / "a.csv"
    cell = b'"' + b"two\nlines, " * 20 + b'"'
    count = 3 * CHUNK_BYTES // len(cell)
    path.write_bytes(b"id,x,note\n" + b"".join(b"%d,1,%b\n" % (i, cell) for i in range(count)))
    parts = parts_of(path, CHUNK_BYTES // 2)
    assert len(parts) == 1 + path.stat().st_size // (CHUNK_BYTES // 2 + len(cell))
    assert np.diff([part.start for part in parts]).max() < CHUNK_BYTES
    found, rejects = outcomes(path, parts, block_rows=1000)
    assert [int(record_id) for record_id, _ in found] == list(range(count))
    assert not rejects


@pytest.mark.parametrize(
    ("csv", "stray", "cut"),
    [
        ({}, b"", True),
        ({}, b'x,1,a"b\n', False),
        ({"quote": None}, b'x,1,a"b\n', True),
        ({"encoding": "cp1252"}, b"", False),
    ],
)
def test_file_is_cut_only_where_all_quotes_before_are_plain(tmp_path, csv, stray, cut):
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,x,note\n"a",1,z\n' + stray + b"b,2,z\n" * 100)
    record = RecordSpec.model_validate({**RECORD.model_dump(exclude_none=True), "csv": csv})
    assert (len(parts_of(path, 50, record)) > 1) == cut


def test_behind_a_row_that_is_too_long_for_one_no_cut_is_made(tmp_path, monkeypatch):
    for module in (csv_cuts, csv_rows):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 12)
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,x,note\n"aaaaaaaaaaaaa\n",z\n",b\n",c\n')
    assert outcomes(path, parts_of(path, 1)) == outcomes(path, parts_of(path, 1 << 30))
