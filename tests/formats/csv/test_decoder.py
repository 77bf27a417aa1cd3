"""CSV: where rows end, what cells mean, and that a misplaced quote costs its own line only."""

import csv
import io
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.batch.columns import iterate
from pipeline.formats.csv import rows as csv_rows
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.csv.header import parse_header, problems
from pipeline.formats.lines import split_lines
from pipeline.spec.record import RecordSpec

RECORD = RecordSpec.model_validate(
    {
        "id": "id",
        "fields": {"x": {"dtype": "float32", "shape": [2]}, "n": {"dtype": "int8"}},
    }
)
HEADER = ("id", "x_0", "x_1", "n")


def rows_in(text, chunk_bytes=1 << 20):
    chunks = [text[i : i + chunk_bytes] for i in range(0, len(text), chunk_bytes)]
    return [row for rows in csv_rows.whole_rows(split_lines(chunks, exact=True)) for row in rows]


def decode(*rows, record=RECORD, header=HEADER, pass_through=(), first=2):
    block = Block(rows, "a.csv", format="csv", first=first, header=header)
    return CsvDecoder(record, pass_through).decode(block)


@pytest.fixture(params=[1, 4], ids=["one_thread", "four_threads"])
def arrow_threads(request):
    """As many threads as Arrow may read the columns of a block with."""
    before = pa.cpu_count()
    pa.set_cpu_count(request.param)
    yield
    pa.set_cpu_count(before)


@pytest.mark.usefixtures("arrow_threads")
def test_columns_are_the_same_whatever_threads_read_them():
    batch = decode(*(b"k%d,%d.5,-%d.25,%d" % (i, i, i, i % 100) for i in range(1_000)))
    assert not batch.rejects
    assert batch.ids == tuple(f"k{i}" for i in range(1_000))
    np.testing.assert_array_equal(batch.columns["x"], [[i + 0.5, -i - 0.25] for i in range(1_000)])
    np.testing.assert_array_equal(batch.columns["n"], [i % 100 for i in range(1_000)])


@pytest.mark.usefixtures("arrow_threads")
def test_bad_row_costs_itself_whatever_threads_read_the_others():
    rows = [b"k%d,1,2,3" % i for i in range(1_000)]
    rows[500], rows[700] = b"k500,1,2,many", b"k700,1,2"
    batch = decode(*rows)
    assert [reject.record_id for reject in batch.rejects] == ["k500", None]
    assert len(batch.ids) == 998


cells = st.text(st.sampled_from('a1 ,"\n\r'), max_size=4)


@pytest.mark.parametrize(
    ("dtype", "cell", "value"),
    [
        ("float32", b"5", 5.0),
        ("float32", b" 5.5 ", 5.5),
        ("float32", b'"[5]"', 5.0),
        ("int64", b"-3", -3),
        ("bool", b"true", True),
        ("bool", b"0", False),
        ("string", b"5", "5"),
        ("string", b"[abc", "[abc"),
        ("string", b'"[""abc""]"', "abc"),
        ("string", b"", ""),
    ],
)
@pytest.mark.parametrize("header", ["v", "v_0"])
def test_vector_of_one_is_read_from_its_one_column(dtype, cell, value, header):
    fields = {"v": {"dtype": dtype, "shape": [1]}}
    record = RecordSpec.model_validate({"fields": fields})
    assert list(problems(record, (), ("a", header))) == []
    batch = decode(b"x," + cell, record=record, header=("a", header))
    assert not batch.rejects
    assert batch.columns["v"].tolist() == [[value]]


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_vector_of_one_is_missing_where_its_cell_is_empty(dtype):
    fields = {"v": {"dtype": dtype, "shape": [1], "missing": "keep"}}
    record = RecordSpec.model_validate({"fields": fields})
    batch = decode(b"x,1", b"x,", b"x, ", record=record, header=("a", "v_0"))
    assert batch.columns["v"].present.tolist() == [True, False, False]


@given(st.lists(st.lists(cells, min_size=1, max_size=3), max_size=8), st.integers(1, 9))
def test_rows_end_where_csv_says_and_line_ends_in_cells_stay_as_they_are(table, chunk_bytes):
    for line_end, quoting in (("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL)):
        text = io.StringIO()
        csv.writer(text, lineterminator=line_end, quoting=quoting).writerows(table)
        rows = rows_in(text.getvalue().encode(), chunk_bytes)
        assert [next(csv.reader([row.decode()])) for row in rows] == table


@given(st.lists(st.text(st.sampled_from('ab,"'), max_size=5), max_size=12), st.integers(1, 9))
def test_no_line_is_lost_or_made_up_whatever_the_quotes(lines, chunk_bytes):
    text = b"".join(line.encode() + b"\n" for line in lines)
    assert b"".join(row + b"\n" for row in rows_in(text, chunk_bytes)) == text
    assert rows_in(text, chunk_bytes) == rows_in(text)


@pytest.mark.parametrize(
    "later",
    [b"c,1,2,3", b'"c",1,2,3', b'c,1,2,"3"\nd,"1",2,3', b""],
    ids=["plain", "1", "2", "end"],
)
def test_quote_that_is_never_closed_costs_its_line_only(later):
    rows = rows_in(b'a,1,2,3\n"b,1,2,3\n' + later)
    assert rows == [b"a,1,2,3", b'"b,1,2,3', *later.splitlines()]
    batch = decode(*rows)
    assert batch.ids == ("a", *(row.decode().strip('"')[0] for row in later.splitlines()))
    (reject,) = batch.rejects
    assert (reject.payload, reject.error_type) == (b'"b,1,2,3', "not_csv")
    assert reject.error_message.startswith("a.csv, line 3: not CSV: ")


@pytest.mark.parametrize(
    ("bad", "kind", "says"),
    [
        (b"", "empty", "line 3: the line is empty, expected 4 cells"),
        (b"b,1,2", "wrong_cells", "line 3: found 3 cells, expected 4 as in the header (id, x_0"),
        (b"b,1,2,3,4", "wrong_cells", "line 3: found 5 cells"),
        (b"b,1,,3", "wrong_type", "line 3: field 'x': found null at [1]"),
        (b"b,1,two,3", "wrong_type", "field 'x': found the text 'two' at [1]"),
        (b"b,1,2,", "wrong_type", "field 'n': found null"),
        (b"b,1,2,3.5", "wrong_type", "field 'n': found the text '3.5', expected int8"),
        (b"b,1,2,0x10", "wrong_type", "field 'n': found the text '0x10'"),
        (b"b,1,2,300", "out_of_range", "field 'n': found 300, beyond its range"),
        (b"b,1,nan,3", "not_finite", "field 'x': found nan at [1]"),
        (b"b,1,1e39,3", "not_finite", "field 'x': found 1e+39 at [1]"),
        (b"b\xff,1,2,3", "not_utf8", "byte 0xff at position 1"),
        (b'"b"x,1,2,3', "not_csv", "quote; quotes inside of a cell are doubled"),
        (rb'"say \"b\"",1,2,3', "not_csv", "they have a backslash: Spark doubles them"),
        (b'"b,1,2,3', "not_csv", "the last quote is not closed"),
        (b"b\r,1,2,3", "not_csv", "a carriage return stands outside of quotes"),
    ],
)
def test_bad_row_is_rejected_with_line_field_found_and_expected(bad, kind, says):
    batch = decode(b"a,1,2,3", bad, b"c,1.5,-2,+3")
    assert batch.ids == ("a", "c")
    (reject,) = batch.rejects
    assert (reject.payload, reject.error_type) == (bad, kind)
    assert says in reject.error_message


def test_line_numbers_count_the_lines_inside_of_quotes():
    rows = (b'a,1,2,3,"two\nlines"', b"b,1,2,3,", b"bad")
    batch = decode(*rows, header=(*HEADER, "note"), first=7)
    assert [reject.error_message[:16] for reject in batch.rejects] == ["a.csv, line 10: "]


@pytest.mark.parametrize("form", ["x_{}", "x.{}", "x[{}]"])
def test_tensor_may_be_spread_over_columns_in_any_order(form):
    header = ("n", form.format(1), "id", form.format(0))
    batch = decode(b"3,1.5,a,2.5", header=header)
    assert batch.columns["x"].tolist() == [[2.5, 1.5]]


def test_tensor_may_be_a_list_in_its_cell():
    batch = decode(b'a,"[2.5, 1]",3', b'b,"[2.5]",3', header=("id", "x", "n"))
    assert batch.columns["x"].tolist() == [[2.5, 1.0]]
    assert "found 1 value, expected float32[2]" in batch.rejects[0].error_message


def test_ids_are_text_unless_declared_as_a_field_and_other_cells_are_passed_as_text():
    record = RecordSpec.model_validate({"id": "n", "fields": {"n": {"dtype": "int8"}}})
    header = ("n", "code")
    batch = decode(b"7,007", record=record, header=header, pass_through=("n", "code", "none"))
    assert batch.ids == (7,)
    assert orjson.loads(batch.pass_through[0]) == {"n": 7, "code": "007", "none": None}
    batch = decode(b"007,1,2,3")
    assert batch.ids == ("007",)


def test_header_names_are_stripped_and_must_be_there():
    assert parse_header(b'id, "x",n') == ("id", '"x"', "n")
    with pytest.raises(ValueError, match="line 1 is empty, expected the names of the columns"):
        parse_header(b"")


texts = st.one_of(
    st.floats(width=32).map(str),
    st.integers(-300, 300).map(str),
    st.sampled_from(["", " 1", "1 ", "+1", "1_0", "0x1", "1e3", ".5", "inf", "NA", "null", "٣"]),
    st.text(st.sampled_from('ab,"1\n\r'), max_size=3),
)


@given(st.lists(st.lists(texts, min_size=4, max_size=4), min_size=1, max_size=3), st.booleans())
def test_block_is_read_as_its_rows_are_one_by_one(table, quoted):
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    rows = []
    for cells in table:
        text = io.StringIO()
        csv.writer(text, lineterminator="", quoting=quoting).writerow(cells)
        rows.append(text.getvalue().encode())
    block = Block(tuple(rows), "a.csv", format="csv", first=2, header=HEADER)
    decoder = CsvDecoder(RECORD, ("n",))
    whole = decoder.decode(block)
    # A row that has too few cells has those beside it read one by one.
    careful = decoder.decode(replace(block, payloads=(*block.payloads, b"short")))
    assert len(careful.rejects) == len(whole.rejects) + 1
    assert (careful.ids, careful.pass_through) == (whole.ids, whole.pass_through)
    for name, column in whole.columns.items():
        for fast, slow in zip(iterate(column), iterate(careful.columns[name]), strict=True):
            assert fast.dtype == slow.dtype
            assert np.array_equal(fast, slow)


@pytest.mark.parametrize(
    ("header", "doubled"),
    [
        (("id", "x_0", "x_1", "x_1", "n"), "x_1"),
        (("id", "x_0", "x_1", "n", "n"), "n"),
        (("id", "x_0", "x_1", "n", "id"), "id"),
        (("id", "x_0", "x_1", "n", "note", "note"), "note"),
    ],
)
def test_column_that_is_read_and_named_twice_is_refused_and_no_value_wins(header, doubled):
    says = f"the header names column '{doubled}' 2 times"
    assert list(problems(RECORD, ("note",), header)) == [says]
    rows = [b",".join([b"1"] * len(header))] * 40
    batch = decode(*rows, header=header, pass_through=("note",))
    assert {reject.error_type for reject in batch.rejects} == {"doubled_column"}
    assert len(batch.rejects) == 40
    assert says in batch.rejects[0].error_message


def test_column_that_nobody_reads_may_be_named_twice():
    header = ("id", "x_0", "x_1", "n", "other", "other")
    assert list(problems(RECORD, (), header)) == []
    assert decode(b"a,1,2,3,4,5", header=header).ids == ("a",)


def test_more_columns_than_a_field_has_values_are_a_wrong_shape():
    header = (*HEADER, "x_2", "x_3")
    assert list(problems(RECORD, (), header)) == [
        "the header has columns 'x_0' to 'x_3', expected float32[2]"
    ]
    (reject,) = decode(b"a,1,2,3,4,5", header=header).rejects
    assert (reject.record_id, reject.error_type) == ("a", "wrong_shape")
    assert "field 'x': found 4 values, expected float32[2]" in reject.error_message


def test_column_that_is_a_key_of_its_own_is_no_value_of_a_field():
    header = (*HEADER, "x_2")
    assert list(problems(RECORD, ("x_2",), header)) == []
    batch = decode(b"a,1,2,3,4", header=header, pass_through=("x_2",))
    assert batch.columns["x"].tolist() == [[1, 2]]
    assert orjson.loads(batch.pass_through[0]) == {"x_2": "4"}


@pytest.mark.parametrize(("separator", "shown"), [(";", "`;`"), ("\t", "a tab"), ("|", "`|`")])
def test_header_of_another_dialect_is_refused_with_what_separates_its_names(separator, shown):
    (problem,) = problems(RECORD, (), parse_header(separator.join(HEADER).encode()))
    assert problem.startswith(f"found {shown} between 4 names in the header, expected commas")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (("id", "x_0", "x_1", "x_1", "n"), "a"),
        (("n", "id", "n", "x_0", "x_1"), "1"),
        (("id", "x_0", "x_1", "n", "n"), "a"),
        (("id", "id", "x_0", "x_1", "n"), None),
        (("id", "x_0", "n", "n", "id"), None),
    ],
)
def test_record_of_a_file_with_a_column_twice_has_its_id_where_that_is_named_once(header, found):
    reject, short = decode(b"a,1,2,3,4", b"a,1,2", header=header).rejects
    assert reject.record_id == found
    assert short.record_id is None, "nobody knows which cell is missing"


def test_integer_id_of_a_file_with_a_column_twice_is_the_one_of_a_prediction():
    fields = {"n": {"dtype": "int32"}, "x": {"dtype": "float32"}}
    record = RecordSpec.model_validate({"id": "n", "fields": fields})
    (good,) = decode(b"7,1", record=record, header=("n", "x")).ids
    (reject,) = decode(b"7,1,2", record=record, header=("n", "x", "x")).rejects
    assert (type(good), good) == (type(reject.record_id), reject.record_id)


def test_record_without_a_declared_id_has_its_hash_also_where_it_cannot_be_read():
    record = RecordSpec.model_validate({"fields": {"n": {"dtype": "int8"}}})
    (good,) = decode(b"1,2", record=record, header=("n", "x")).ids
    for header in (("n", "n"), ("n", "x", "y")):
        (reject,) = decode(b"1,2", record=record, header=header).rejects
        assert reject.record_id == good
