"""Files that are one JSON array of objects are read as the same objects in lines are."""

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.format import Reading
from pipeline.formats.registry import decoders
from pipeline.spec.record import RecordSpec

RECORD = RecordSpec.model_validate(
    {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [2]}, "n": {"dtype": "int8"}}}
)
DECODER = decoders(RECORD, ("note",))["jsonl"]


def read(path, block_rows=100, split_bytes=1 << 20):
    """The blocks of a file."""
    reading = Reading(block_rows, record=RECORD)
    (file,) = match_input(str(path))
    return [b for part in split_file(file, split_bytes) for b in read_range(part, reading)]


def outcomes(blocks):
    """What becomes of each record: of good ones all values, of others why."""
    found = []
    for batch in map(DECODER.decode, blocks):
        columns = (batch.ids, *map(list, (batch.columns["x"], batch.columns["n"])))
        for row in zip(*columns, batch.pass_through, strict=True):
            found.append(str(row))
        found += [(reject.record_id, reject.error_type) for reject in batch.rejects]
    return sorted(map(str, found))


rows = st.fixed_dictionaries(
    {
        "x": st.lists(st.floats(width=32), min_size=1, max_size=3),
        "n": st.integers(-300, 300) | st.just("many"),
    },
    optional={"note": st.text(st.sampled_from('a"\\{}[],\n é'), max_size=6)},
)


@settings(max_examples=60, deadline=None)
@given(
    given=st.lists(rows, max_size=12),
    indent=st.sampled_from([None, 0, 3]),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    block_rows=st.integers(1, 9),
    split_bytes=st.sampled_from([60, 1 << 20]),
    packed=st.booleans(),
)
def test_objects_in_an_array_are_what_they_are_in_lines(
    given, indent, bom, block_rows, split_bytes, packed
):
    given = [{"id": str(number), **row} for number, row in enumerate(given)]
    text = bom + json.dumps(given, indent=indent).encode()
    with tempfile.TemporaryDirectory() as folder:
        array, lines = Path(folder) / "a.json", Path(folder) / "b.json"
        array.write_bytes(gzip.compress(text) if packed else text)
        lines.write_text("".join(json.dumps(row) + "\n" for row in given))
        assert list(input_checks.problems(str(array), "auto", RECORD)) == []
        blocks = read(array, block_rows, split_bytes)
        assert outcomes(blocks) == outcomes(read(lines))
    assert [block.error for block in blocks] == [None] * len(blocks)
    assert sum(len(block.payloads) for block in blocks) == len(given)
    assert all(len(block.payloads) <= block_rows for block in blocks)


@pytest.mark.parametrize(
    ("bad", "error_type"),
    [
        (b'{"id": "b", "x": [1, 2], "n": 1, }', "not_json"),
        (b'{"id": "b", "x": [1, 2]}', "missing_field"),
        (b'{"id": "b", "x": "1\n2", "n": 1}', "not_json"),
        (b"17", "not_an_object"),
        (b"", "empty"),
    ],
)
def test_bad_value_of_an_array_costs_itself(tmp_path, bad, error_type):
    good = b'{"id": "%s", "x": [1, 2], "n": 1}'
    (tmp_path / "a.json").write_bytes(b"[%s,\n%s,\n%s]\n" % (good % b"a", bad, good % b"c"))
    (block,) = read(tmp_path / "a.json")
    batch = DECODER.decode(block)
    assert batch.ids == ("a", "c")
    assert [reject.error_type for reject in batch.rejects] == [error_type]


def test_array_that_ends_amid_a_value_says_so_and_gives_those_before(tmp_path):
    path = tmp_path / "a.json"
    text = json.dumps([{"id": str(i), "x": [1, 2], "n": 1} for i in range(9)]).encode()
    path.write_bytes(text[: text.index(b'"7"') + 9])
    block, told = read(path)
    assert DECODER.decode(block).ids == tuple("0123456")
    assert [len(reject.payload) for reject in DECODER.decode(block).rejects] == [16]
    assert f"{path} cannot be read to its end: it ends before its JSON array does" in told.error
    assert "after 8 values (the last may be cut). Those" in told.error


def test_array_in_the_first_line_does_not_cost_the_lines_behind_it(tmp_path):
    line = b'{"id": "%s", "x": [1, 2], "n": 1}'
    (tmp_path / "a.json").write_bytes(b"[%s]\n%s\n%s\n" % (line % b"a", line % b"b", line % b"c"))
    assert [i for block in read(tmp_path / "a.json") for i in DECODER.decode(block).ids] == [*"abc"]


def test_value_that_is_no_object_does_not_cost_the_others(tmp_path):
    good = {"id": "a", "x": [1, 2], "n": 1}
    (tmp_path / "a.json").write_text(json.dumps([None, good, good], indent=1))
    assert list(input_checks.problems(str(tmp_path / "a.json"), "auto", RECORD)) == []
    (batch,) = map(DECODER.decode, read(tmp_path / "a.json"))
    assert (len(batch), len(batch.rejects)) == (2, 1)


def test_text_that_has_the_sign_of_an_archive_in_its_place_is_text(tmp_path):
    line = b'{"id": "a", "x": [1, 2], "n": 1, "note": "'
    line += b"x" * (257 - len(line)) + b'ustar leer"}\n'
    (tmp_path / "a.jsonl").write_bytes(line)
    assert line[257:262] == b"ustar"
    assert list(input_checks.problems(str(tmp_path / "a.jsonl"), "auto", RECORD)) == []
