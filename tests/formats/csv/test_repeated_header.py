"""A header that repeats inside of a CSV file is told as such, and is no record of names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.connectors.files.ranges import split_file
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.fields import IrregularError
from pipeline.formats.format import Reading
from pipeline.launch.first_records import first_records
from pipeline.spec.record import RecordSpec

STRING, FLOAT = {"dtype": "string"}, {"dtype": "float32"}
ZERO, ONE = FLOAT | {"name": "0"}, {"dtype": "int64", "name": "1"}
TEXT = '"t ""u"", v"'
KEPT = FLOAT | {"missing": "keep"}


class Careful(CsvDecoder):
    """Decodes each row by itself."""

    def plain(self, block):
        return None

    def part(self, block, rows):
        raise IrregularError


def batches_of(path, record, split_bytes=1 << 30, decoder=CsvDecoder, rows=1000):
    (file,) = match_input(str(path))
    decoding = decoder(record, ["note"])
    parts = split_file(file, split_bytes, record=record)
    blocks = [block for part in parts for block in read_range(part, Reading(rows, record=record))]
    return [decoding.decode(block) for block in blocks]


def outcomes(batches):
    ids = [record_id for batch in batches for record_id in batch.ids]
    rejects = [reject for batch in batches for reject in batch.rejects]
    return ids, [(reject.error_type, reject.error_message, reject.payload) for reject in rejects]


def record_of(fields, **dialect):
    return RecordSpec.model_validate({"id": "id", "fields": fields, "csv": dialect})


@pytest.mark.parametrize("count", [2, 200])
@pytest.mark.parametrize(
    ("header", "again", "row", "dialect"),
    [
        ("id,text,note", None, "a,t,z", {}),
        ("id,text,note", '"id",text,"note"', "a,t,z", {}),
        (" id, text ,note", "id,text,note", "a,t,z", {}),
        ('"id","text","note"', "id,text, note", f"a,{TEXT},z", {}),
        ("id;text;note", None, "a;t;z,z", {"delimiter": ";"}),
        ("'id'\ttext\tnote", None, "a\tt\tz", {"delimiter": "\t", "quote": "'"}),
        ("id,text,größe,note", None, "a,t,u,z", {"encoding": "latin-1"}),
        ("id,text,größe,note", None, "a,t,u,z", {"encoding": "utf-16"}),
        ('id,text,"a ""b""",note', None, "a,t,u,z", {}),
        ('id,text,"a\nb",note', None, 'a,t,"u\nv",z', {}),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("fields", [{"text": STRING}, {"text": FLOAT}])
def test_header_amid_the_rows_is_a_dead_letter_that_says_so(
    tmp_path, count, header, again, row, dialect, end, fields
):
    path = tmp_path / "a.csv"
    rows = [row if fields["text"] is STRING else row.replace(TEXT, "1").replace("t", "1")] * count
    text = end.join([header, *rows, again or header, *rows, ""])
    path.write_bytes(text.encode(dialect.get("encoding", "utf-8")))
    record = record_of(fields, **dialect)
    for decoder in (CsvDecoder, Careful):
        for split_bytes in (1 << 30, len(text) // 3):
            ids, rejects = outcomes(batches_of(path, record, split_bytes, decoder))
            assert ids == ["a"] * 2 * count
            ((kind, says, payload),) = rejects
            assert kind == "header_line"
            assert "for a header that repeats" in says
            assert payload.decode() == (again or header)
    drafted = first_records(str(path), 10_000).records
    assert len(drafted) == 2 * count


@pytest.mark.parametrize(
    ("fields", "names", "line", "is_header"),
    [
        ({"text": STRING}, ["id", "text"], "id,text", True),
        ({"text": STRING}, ["id", "text", "other"], "id,text,else", False),
        ({"x": ZERO}, ["0"], "0", False),
        ({"x": ZERO, "y": ONE}, ["0", "1"], "0,1", False),
        ({"x": ZERO, "y": ONE}, ["0", "1", "2"], "0,1,2", True),
        ({"x": ZERO, "y": ONE}, ["0", "1", "2"], "0,1.0,2", False),
        ({"nan": KEPT, "text": STRING}, ["nan", "text"], "nan,text", True),
        ({"x": KEPT | {"name": ""}, "text": STRING}, ["", "text"], ",text", True),
        ({"true": {"dtype": "bool"}}, ["true"], "true", True),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_line_of_all_names_is_no_record_unless_it_is_one_or_two_numbers(
    tmp_path, fields, names, line, is_header, listed
):
    path = tmp_path / "a.csv"
    text = ",".join("1" for _ in names)
    above = [] if listed else [",".join(names)]
    path.write_text("\n".join([*above, *[text] * 70, line, *[text] * 70]))
    keys = {"fields": fields, "csv": {"header": names} if listed else {}}
    record = RecordSpec.model_validate(keys)
    for decoder in (CsvDecoder, Careful):
        _, rejects = outcomes(batches_of(path, record, decoder=decoder))
        found = [payload.decode() for kind, _, payload in rejects if kind == "header_line"]
        assert found == ([line] if is_header else [])
        if not is_header:
            assert {kind for kind, _, _ in rejects} <= {"wrong_type"}


def test_first_line_of_numbers_that_the_ensemble_file_lists_is_a_record(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("0,1\n5,6\n")
    keys = {"fields": {"x": ZERO, "y": ONE}, "csv": {"header": ["0", "1"]}}
    (batch,) = batches_of(path, RecordSpec.model_validate(keys))
    assert batch.columns["x"].tolist() == [0, 5]


cells = st.sampled_from(["id", " id", "text", "n", "1", "a", '"id"', '"text"', '" n"', "id\n"])


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6),
    fields=st.sampled_from([{"text": STRING}, {"text": STRING, "n": FLOAT}]),
    split_bytes=st.integers(1, 60),
)
def test_every_line_is_a_header_or_a_record_whatever_the_cells(
    tmp_path_factory, rows, fields, split_bytes
):
    path = tmp_path_factory.mktemp("repeat") / "a.csv"
    lines = ["id,text,n", *map(",".join, rows), *["a,b,1"] * 64]
    lines = [line.replace("id\n", '"id\n"') for line in lines]
    path.write_text("\n".join(lines))
    record = record_of(fields)
    fast = outcomes(batches_of(path, record, split_bytes))
    assert fast == outcomes(batches_of(path, record, split_bytes, Careful))
    names = [[cell.strip().strip('"').strip() for cell in row] for row in rows]
    repeats = [kind for kind, _, _ in fast[1] if kind == "header_line"]
    assert len(repeats) == names.count(["id", "text", "n"])
    assert len(fast[0]) + len(fast[1]) == len(rows) + 64
