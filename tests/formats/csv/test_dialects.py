"""CSV that is written otherwise: signs, decimals, encodings, names, missing values."""

import csv
import io

import numpy as np
import orjson
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.batch.columns import iterate, presence_of, values_of
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.csv.dialect import Dialect, as_utf8, dialect_of
from pipeline.formats.csv.header import may_be_record, parse_header, problems
from pipeline.formats.csv.rows import whole_rows
from pipeline.formats.fields import IrregularError
from pipeline.formats.format import Reading
from pipeline.formats.lines import DamagedFileError, split_lines
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.registry import FORMATS, format_of
from pipeline.spec.record import RecordSpec

FIELDS = {
    "x": {"dtype": "float32"},
    "v": {"dtype": "float64", "shape": [2]},
    "w": {"dtype": "float32", "shape": [1]},
    "n": {"dtype": "int16"},
    "flag": {"dtype": "bool"},
    "text": {"dtype": "string"},
}
HEADER = ("id", "x", "v_0", "v_1", "w", "n", "flag", "text", "note")
GOOD = ["a", "1", "2", "3", "[4]", "5", "true", "t", "z"]
SIGNS = [(";", '"'), ("\t", '"'), ("|", "'"), (" ", "'"), ("\x01", None), ("^", "]"), (",", None)]


def record_of(fields=FIELDS, **dialect):
    return RecordSpec.model_validate({"id": "id", "fields": fields, "csv": dialect})


def written(row, delimiter, quote, quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO()
    quoting = quoting if quote else csv.QUOTE_NONE
    form = {"delimiter": delimiter, "quotechar": quote, "quoting": quoting}
    csv.writer(text, lineterminator="\r\n", **form).writerow(row)  # quotes what ends a line
    return text.getvalue().removesuffix("\r\n").encode()


def decode(payloads, record, header=HEADER, path="a.csv", careful=False, first=2):
    class Careful(CsvDecoder):
        """Decodes each row by itself."""

        def part(self, block, rows):
            raise IrregularError

    block = Block(tuple(payloads), path, format="csv", header=header, first=first)
    return (Careful if careful else CsvDecoder)(record, ("note", "x", "n")).decode(block)


def same(one, other, *, payloads=True):
    """Whether two batches are alike; where `payloads` are not, the texts of rejects may differ."""
    assert (one.ids, one.pass_through) == (other.ids, other.pass_through)
    assert [r.error_type for r in one.rejects] == [r.error_type for r in other.rejects]
    if payloads:
        assert one.rejects == other.rejects
    for name, column in one.columns.items():
        there = presence_of(column)
        assert there.tolist() == presence_of(other.columns[name]).tolist()
        both = (iterate(values_of(each)) for each in (column, other.columns[name]))
        for has, found, expected in zip(there, *both, strict=True):
            assert found.dtype == expected.dtype
            assert not has or np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")


def blocks(text, record, path="a.csv", rows=100):
    opened = OpenedFile(path, io.BytesIO(text), 0, len(text))
    return list(FORMATS["csv"].blocks(opened, Reading(rows, record=record)))


def check(text, record, path="a.csv"):
    opened = OpenedFile(path, io.BytesIO(text), 0, len(text))
    return list(FORMATS["csv"].check(opened, record, ()))


@pytest.mark.parametrize(("delimiter", "quote"), SIGNS)
@given(st.data())
@settings(max_examples=40)
def test_rows_and_cells_are_those_of_pythons_csv_module(delimiter, quote, data):
    signs = f"{delimiter}{quote}a,\"'\n\r" if quote else "a\"' 1"
    cells = st.text(st.sampled_from(signs), max_size=4)
    table = data.draw(st.lists(st.lists(cells, min_size=2, max_size=3), max_size=6))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    size = data.draw(st.integers(1, 9))
    dialect = Dialect(delimiter, quote)
    text = b"".join(written(row, delimiter, quote, quoting) + b"\r\n" for row in table)
    lines = split_lines([text[i : i + size] for i in range(0, len(text), size)], exact=True)
    rows = [row for rows in whole_rows(lines, dialect) for row in rows]
    assert [dialect.cells(row) for row in rows] == table


odd = (
    st.floats(width=32).map(str)
    | st.integers(-(2**17), 2**17).map(str)
    | st.sampled_from(
        ["", " 1", " -9", "1.5", "1,5", "1.234,5", "1,234.5", ",5", "5,", "1,5e3", "-1,0"]
    )
    | st.sampled_from(["NA", "-9", " NA", "-9 ", "[1.5]", "[1,5]", "nan", "null", "inf", "true"])
    | st.text(st.sampled_from(",.;'\"1a"), max_size=4)
)
dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([";", "\t", "|"]),
        "quote": st.sampled_from(['"', "'"]),
        "decimal": st.sampled_from([".", ","]),
        "missing": st.lists(st.sampled_from(["", "NA", "-9", " -9", "1,5", "true"]), max_size=2),
    }
)


@given(dialects, odd, st.sampled_from([{}, {"missing": "keep"}]))
@example({"missing": [" -9"]}, " -9", {"missing": "keep"})
@settings(max_examples=40, deadline=None)
def test_block_is_read_as_its_rows_are_one_by_one_in_every_dialect(dialect, odd, missing):
    dialect = {"delimiter": ";", "quote": '"', **dialect}
    for place, key in enumerate(HEADER):
        fields = {n: f | missing for n, f in FIELDS.items() if key.startswith(n)}
        fields = fields or {"x": FIELDS["x"] | missing}
        record = record_of(fields, **dialect)
        table = [GOOD, [*GOOD[:place], odd, *GOOD[place + 1 :]]]
        rows = [written(row, dialect["delimiter"], dialect["quote"]) for row in table]
        same(decode(rows, record), decode(rows, record, careful=True))


@pytest.mark.parametrize(("delimiter", "quote"), SIGNS)
@given(st.lists(odd, min_size=8, max_size=8))
@settings(max_examples=15, deadline=None)
def test_signs_change_nothing_but_the_text(delimiter, quote, odd):
    table = [GOOD] + [[*GOOD[:i], cell, *GOOD[i + 1 :]] for i, cell in enumerate(odd, 1)]
    if quote is None:
        table = [[cell.replace(delimiter, "") for cell in row] for row in table]
    rows = [written(row, delimiter, quote) for row in table]
    usual = decode([written(row, ",", '"') for row in table], record_of())
    same(decode(rows, record_of(delimiter=delimiter, quote=quote)), usual, payloads=False)


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=5), st.booleans())
@settings(deadline=None)
def test_decimal_comma_gives_the_numbers_that_a_point_gives(numbers, careful):
    fields = {"x": FIELDS["x"], "v": FIELDS["v"]}
    usual = [f"a;{x};{x};1.5".encode() for x in numbers]
    header = ("id", "x", "v_0", "v_1")
    comma = decode(
        [row.replace(b".", b",") for row in usual],
        record_of(fields, delimiter=";", decimal=","),
        header,
        careful=careful,
    )
    same(comma, decode(usual, record_of(fields, delimiter=";"), header))
    assert len(comma) == len(numbers)


@pytest.mark.parametrize("cell", ["1.5", "1.234,5", "1.234", "1,234,5"])
def test_point_where_the_decimal_is_a_comma_costs_its_record(cell):
    record = record_of({"x": FIELDS["x"]}, delimiter=";", decimal=",")
    batch = decode([b"a;2,5", f"b;{cell}".encode(), b"c;3"], record, ("id", "x"))
    assert batch.columns["x"].tolist() == [2.5, 3]
    (reject,) = batch.rejects
    assert (reject.record_id, reject.error_type) == ("b", "wrong_type")
    assert repr(cell) in reject.error_message


@pytest.mark.parametrize(
    ("missing", "row", "says"),
    [
        (["NA"], b"a,NA,t,1", "field 'x': found null"),
        (["-9"], b"a,-9,t,1", "field 'x': found null"),
        (["-9"], b"a, -9 ,t,1", "field 'x': found null"),
        (["NA"], b"a,,t,1", "field 'x': found null"),
        (["NA"], b"a,1,NA,1", "field 'text': found null"),
        ([""], b"a,1,,1", "field 'text': found null"),
        (["NA"], b"a,1,,1", ""),
        (["NA"], b"a,1,NAN,1", ""),
        (["NA"], b"NA,1,t,NA", ""),  # no fields
        ([], b"a,NA,t,1", "field 'x': found "),
    ],
)
def test_missing_value_is_what_is_listed_and_an_empty_number(missing, row, says):
    fields = {"x": FIELDS["x"], "text": FIELDS["text"]}
    batch = decode([row], record_of(fields, missing=missing), ("id", "x", "text", "note"))
    assert len(batch.rejects) == bool(says)
    assert all(says in reject.error_message for reject in batch.rejects)
    if not says:
        assert orjson.loads(batch.pass_through[0])["note"] == row.split(b",")[3].decode()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8", "utf-8-sig"])
@given(st.lists(st.text("aäöé€\n\r;", max_size=8), max_size=6), st.integers(1, 5))
@settings(max_examples=40)
def test_text_of_any_encoding_is_the_same_text(encoding, texts, size):
    text = "\n".join(texts)
    stored = text.encode(encoding, "ignore")
    chunks = [stored[i : i + size] for i in range(0, len(stored), size)]
    expected = stored.decode(encoding).encode()
    assert b"".join(as_utf8(chunks, encoding)) == expected


@pytest.mark.parametrize(
    ("encoding", "bad"), [("cp1252", b"\x81"), ("utf-16", b"\x00\xd8"), ("utf-8", b"\xe4")]
)
def test_bytes_of_another_encoding_cost_their_record(encoding, bad):
    codec = {"utf-16": "utf-16-le"}.get(encoding, encoding)
    start = b"\xff\xfe" if encoding == "utf-16" else b""
    text = start + "id,text\na,ä\nb,ö".encode(codec) + bad + "ü\nc,é\n".encode(codec)
    record = record_of({"text": FIELDS["text"]}, encoding=encoding)
    (block,) = blocks(text, record)
    batch = CsvDecoder(record).decode(block)
    assert [str(value) for value in iterate(batch.columns["text"])] == ["ä", "é"]
    (reject,) = batch.rejects
    assert reject.error_type == ("not_utf8" if encoding == "utf-8" else "wrong_encoding")


@pytest.mark.parametrize(
    ("encoding", "text", "says"),
    [
        ("cp1252", b"\xef\xbb\xbfid,text\n", "found the byte order mark of UTF-8, expected cp1252"),
        ("utf-16", b"id,text\n", "found no byte order mark, expected that of UTF-16"),
    ],
)
def test_file_that_begins_as_one_of_another_encoding_is_refused(encoding, text, says):
    record = record_of({"text": FIELDS["text"]}, encoding=encoding)
    with pytest.raises(ValueError, match=says):
        check(text, record)
    (block,) = blocks(text, record)
    assert says in block.error
    with pytest.raises(DamagedFileError):
        list(as_utf8([text], encoding))


def test_half_a_character_at_the_end_costs_its_record():
    record = record_of({"text": FIELDS["text"]}, encoding="utf-16")
    (block,) = blocks("id,text\na,b\nc,d".encode("utf-16") + b"x", record)
    batch = CsvDecoder(record).decode(block)
    assert (batch.ids, [r.error_type for r in batch.rejects]) == (("a",), ["wrong_encoding"])


def test_header_that_is_not_utf8_names_the_key():
    with pytest.raises(ValueError, match=r"is not utf-8: .*csv: \{encoding: cp1252\}"):
        parse_header("id,größe".encode("cp1252"))


NAMED = {"header": ["id", "n"], "delimiter": ";"}


@pytest.mark.parametrize("first", [b"", b"id;n\n", b'"id";n\r\n'])
def test_all_lines_are_records_where_the_ensemble_file_names_the_columns(first):
    record = record_of({"n": FIELDS["n"]}, **NAMED)
    (block,) = blocks(first + b"a;1\nb;2\nid;n\n", record)
    assert block.payloads == (b"a;1", b"b;2", b"id;n")
    batch = CsvDecoder(record).decode(block)
    assert batch.ids == ("a", "b")
    (reject,) = batch.rejects
    assert f"a.csv, line {4 if first else 3}: " in reject.error_message
    assert check(first + b"a;1\n", record) == []


def test_first_line_of_the_listed_names_is_refused_where_it_may_be_a_record():
    record = record_of({"text": FIELDS["text"]}, header=["id", "text"])
    text = b"id,text\na,t\nid,text\n"
    (problem,) = check(text, record)
    assert problem.startswith("line 1 has exactly the names that `record.csv.header` lists")
    (block,) = blocks(text, record)
    batch = CsvDecoder(record).decode(block)
    assert (batch.ids, [r.error_type for r in batch.rejects]) == (("a",), ["header_line"] * 2)


def test_names_in_the_ensemble_file_are_checked_as_a_header_is():
    record = record_of({"n": FIELDS["n"]}, header=["id", "m", "m"])
    (problem,) = check(b"a,1,2\n", record)
    assert problem == "`record.csv.header` has no column 'n'; it names id, m, m"
    record = record_of({"n": FIELDS["n"]}, header=["id", "n", "n"])
    assert check(b"a,1,2\n", record) == ["the header names column 'n' 2 times"]


def test_tsv_has_tabs_unless_the_ensemble_file_says_otherwise():
    for path in ("a.tsv", "gs://b/A.TSV.gz", "a.tsv-00000-of-00002"):
        assert format_of(path) is FORMATS["csv"]
        assert dialect_of(None, path).delimiter == "\t"
    assert dialect_of(record_of(delimiter=";").csv, "a.tsv").delimiter == ";"
    record = RecordSpec.model_validate({"id": "id", "fields": {"n": FIELDS["n"]}})
    (block,) = blocks(b"id\tn\na,b\t1\n", record, "a.tsv")
    assert CsvDecoder(record).decode(block).ids == ("a,b",)


@pytest.mark.parametrize(
    ("found", "expected", "key"),
    [
        (";", {}, "delimiter: ';'"),
        ("\t", {}, r'delimiter: "\t"'),
        ("|", {}, "delimiter: '|'"),
        (",", {"delimiter": ";"}, "delimiter: ','"),
    ],
)
def test_refusal_of_another_delimiter_names_the_key_to_write(found, expected, key):
    record = record_of(**expected)
    text = found.join(HEADER).encode() + b"\n" + found.join(GOOD).encode()
    (problem,) = check(text, record)
    assert f"between 9 names in the header, expected {'`;`' if expected else 'commas'}" in problem
    assert problem.endswith(f"`record: {{csv: {{{key}}}}}` reads it")
    (block,) = blocks(text, record)
    rejects = CsvDecoder(record).decode(block).rejects
    assert [reject.error_type for reject in rejects] == ["no_header"] * 2
    assert f"{{csv: {{{key}}}}}" in rejects[1].error_message


@pytest.mark.parametrize(
    ("above", "line", "shown"),
    [
        (b"# exported by us\r\n#\r\n", 3, "'# exported by us'"),
        (b'"a title\nof two lines",,\n', 3, "'\"a title\\nof two lines\",,'"),
        (b"\n", 2, "empty"),
        (b'"never closed\n', 2, "'\"never closed'"),
        (b"%s\n" % (b"x" * 99), 2, f"'{'x' * 60}...'"),
    ],
)
def test_lines_above_the_header_are_named(above, line, shown):
    record = record_of({"n": FIELDS["n"]})
    (problem,) = check(above + b"id,n\na,1\n", record)
    assert problem.startswith(f"line 1 is {shown}, and line {line} names the columns: ")
    assert f"`tail -n +{line}`" in problem
    rest = (above + b"id,n\na,1\n").splitlines(keepends=True)[line - 1 :]
    assert check(b"".join(rest), record) == []


def test_what_excel_says_of_its_delimiter_is_a_line_above_the_header():
    (problem,) = check(b"sep=;\r\nid;n\r\na;1\r\n", record_of({"n": FIELDS["n"]}, delimiter=";"))
    assert problem.startswith("line 1 is 'sep=;', and line 2 names the columns")


@pytest.mark.parametrize(
    ("text", "keys", "says"),
    [
        (b"id,n\n" + b"1,a,1\n" * 40, {}, "the header has 2 names (id, n), and each of the first "),
        (b"id,n\n" + b"a,1,\n" * 40, {}, "40 rows has 3 cells, the last one empty; `record: "),
        (b"a,1,2\n" * 400, {"header": ["id", "n"]}, "`record.csv.header` lists 2 names (id, n), "),
    ],
)
def test_header_is_refused_where_all_of_the_first_rows_have_other_cells(text, keys, says):
    record = record_of({"n": FIELDS["n"]}, **keys)
    (problem,) = check(text, record)
    assert says in problem
    right = b"a,1\n"
    assert check(text.replace(text[-5:], right, 1), record) == []  # one right row is enough
    assert check(b"".join(text.splitlines(keepends=True)[:9]), record) == []  # too few to tell


def test_name_with_the_expected_delimiter_in_quotes_is_no_sign_of_another():
    found = list(problems(record_of({"n": FIELDS["n"]}), (), ("a,b",)))
    assert found
    assert not any("delimiter" in problem for problem in found)


def test_refusal_of_a_first_line_without_names_names_the_key_to_write():
    (first, *_) = problems(record_of(), (), ("a", "1", "2"))
    assert "`record: {csv: {header: [NAME, ...]}}` names the columns if line 1 does not" in first


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_empty_file_has_no_records_in_any_encoding(encoding):
    assert b"".join(as_utf8(iter([b""]), encoding)) == b""


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({"true": {"dtype": "bool"}, "text": {"dtype": "string"}}, True),
        ({"flag": {"dtype": "bool"}, "text": {"dtype": "string"}}, False),
        ({"true": {"dtype": "int16"}}, False),
    ],
)
def test_names_that_are_values_may_be_a_record(fields, may):
    assert may_be_record(record_of(fields), tuple(fields)) is may


NAMED_SIGNS = [
    ("id;x;text\na;1,5;t\nb;2,5;t\n", {}, "delimiter: ';', decimal: ','"),
    ("id\tx\ttext\na\t1,5\tt\nb\t2,5\tt\n", {}, r"""delimiter: "\t", decimal: ','"""),
    ("'id','x','text'\n'a',1.5,'t'\n'b',2.5,'t, u'\n", {}, '''quote: "'"'''),
    ("id,x,text\na,1.5,t\nb,2.5,t\n", {"delimiter": ";", "decimal": ","}, "decimal: '.'"),
]


@pytest.mark.parametrize(("text", "expected", "keys"), NAMED_SIGNS)
def test_refusal_of_other_signs_names_all_keys_that_read_the_file(text, expected, keys):
    fields = {"x": FIELDS["x"], "text": FIELDS["text"]}
    (problem,) = check(text.encode(), record_of(fields, **expected))
    shown = problem.partition("`record: ")[2].partition("`")[0]
    assert keys in shown
    csv_keys = yaml.safe_load(shown)["csv"]
    record = record_of(fields, **{**expected, **csv_keys})
    assert check(text.encode(), record) == []
    (block,) = blocks(text.encode(), record)
    batch = CsvDecoder(record).decode(block)
    assert (batch.ids, batch.columns["x"].tolist()) == (("a", "b"), [1.5, 2.5])


@pytest.mark.parametrize(
    ("cell", "delimiter", "expected", "found"),
    [
        ("1,5", ";", {"delimiter": ";"}, "commas before the fractions of numbers, such as '1,5'"),
        ('"1,5"', ",", {}, "another sign has to stand between cells"),
        ("1.5", ";", {"delimiter": ";", "decimal": ","}, "points before the fractions"),
    ],
)
def test_other_sign_before_fractions_in_all_of_the_first_rows_is_refused(
    cell, delimiter, expected, found
):
    record = record_of({"x": FIELDS["x"]}, **expected)
    rows = [f"{i}{delimiter}{cell}" for i in range(16)]
    text = "".join(f"{row}\n" for row in [f"id{delimiter}x", *rows]).encode()
    (problem,) = check(text, record)
    assert found in problem
    assert "decimal: " in problem
    few = [*rows[:3], f"a{delimiter}7", f"b{delimiter}", ""]
    assert check("\n".join([f"id{delimiter}x", *few]).encode(), record) == [problem]
    for odd in ([], [f"a{delimiter}odd"]):  # so few may be bad records
        some = [f"id{delimiter}x", *rows[: 15 if odd else 2], *odd, ""]
        assert check("\n".join(some).encode(), record) == []
    lists = f"id{delimiter}x\n".encode() + b'a;"[1,5]"\n' * 20
    assert "fractions" not in "".join(check(lists, record))


@pytest.mark.parametrize(
    ("decimal", "cells"),
    [
        (",", ["0,50"] * 80 + ["1.100,50"] * 15 + ["1.000"]),
        (",", ["2,5"] * 10 + ["1.5"] * 20),
        (".", ["1,100"] * 20 + ["1,5"]),
        (".", ["2.5"] * 10 + ["1,5"] * 20),
    ],
)
def test_signs_between_thousands_and_signs_of_both_kinds_refuse_no_file(decimal, cells):
    rows = "".join(f"a;{cell}\n" for cell in cells)
    record = record_of({"x": FIELDS["x"]}, delimiter=";", decimal=decimal)
    assert check(f"id;x\n{rows}".encode(), record) == []


@pytest.mark.parametrize(
    ("cell", "is_refused"),
    [(' "t"', True), ('\t"say so" ', True), ('"t"', False), (" t", False), (' "t', False)],
)
def test_quotes_behind_blanks_are_told_before_they_become_part_of_each_text(cell, is_refused):
    record = record_of({"text": FIELDS["text"]})
    text = "id,text,note\n" + f'a,{cell}, "z"\n' * 16
    found = check(text.encode(), record)
    assert len(found) == is_refused
    assert all("'text': found a blank before the quotes" in problem for problem in found)
    assert check(text.encode() + b"b,u,z\n", record) == []
