"""How a CSV file is written is told from its beginning, and the file is then read so."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.csv.sniff import sniff

ROWS = [["a", "höhe", "c"], ["x", "0.5", "7"], ["y", "1.5", "8"], ["z", "-2.25", "9"]]


def text(rows, **how):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", **how).writerows(rows)
    return file.getvalue()


def told(content, path="a.csv", encoding="utf-8"):
    head = content if isinstance(content, bytes) else content.encode(encoding)
    return sniff(head, path, is_whole=True).model_dump(exclude_defaults=True)


def with_commas(rows):
    return [[cell.replace(".", ",") for cell in row] for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("path", ["a.csv", "a.tsv"])
def test_delimiter_that_the_name_does_not_tell(delimiter, path):
    usual = "\t" if path.endswith(".tsv") else ","
    found = told(text(ROWS, delimiter=delimiter), path)
    assert found == ({} if delimiter == usual else {"delimiter": delimiter})


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_commas_before_fractions(delimiter):
    found = told(text(with_commas(ROWS), delimiter=delimiter))
    assert found == {"delimiter": delimiter, "decimal": ","}
    found = told(text(with_commas(ROWS[1:]), delimiter=delimiter))
    assert (found["delimiter"], found["decimal"], len(found["header"])) == (delimiter, ",", 3)


@pytest.mark.parametrize("path", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_delimiter_is_named_wherever_commas_stand_before_fractions(delimiter, path):
    for rows in (with_commas(ROWS), [["a", "b"], ["x", "3,5"], ["y", "z"]]):
        found = told(text(rows, delimiter=delimiter), path)
        assert found == {"delimiter": delimiter, "decimal": ","}


@pytest.mark.parametrize(
    ("cells", "is_decimal"),
    [
        (["1,000", "2,037"], False),
        (["-1,000", "12,037", "999"], False),
        (["1,000", "2,5"], True),
        (["0,125", "1,500"], True),
        (["1234,567"], True),
        (["1.234,567"], True),
    ],
)
def test_commas_that_may_stand_between_thousands_are_no_decimal_commas(cells, is_decimal):
    content = text([["a", "b"], *([cell, "0"] for cell in cells)], delimiter=";")
    assert ("decimal" in told(content)) == is_decimal


def test_commas_and_points_are_no_decimal_commas():
    assert "decimal" not in told("a;b\n0,5;0.5\n1,5;1.5\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encoding(encoding):
    found = told(text(ROWS), encoding=encoding)
    assert found == ({} if encoding.startswith("utf-8") else {"encoding": encoding})


def test_bytes_that_windows_does_not_know_are_latin_1():
    assert told(b"a,b\n\x81\xe4,1\n") == {"encoding": "latin-1"}


def test_character_that_the_end_of_what_was_read_cuts_is_no_other_encoding():
    head = "a,b\nä,1\nä".encode()[:-1]
    assert sniff(head, "a.csv", is_whole=False).encoding == "utf-8"


def test_quotes_that_are_text_and_quotes_of_another_kind():
    assert told('a\tb\n5" disk\t1\n"x" y\t2\n') == {"delimiter": "\t", "quote": None}
    assert told("'a';'b'\n1;2\n") == {"delimiter": ";", "quote": "'"}


@pytest.mark.parametrize("bad", ['"say "hi" now"', '"say \\"hi\\" now"', '"never closed'])
@pytest.mark.parametrize("place", [1, 30, 60])
def test_a_few_quotes_that_are_out_of_order_do_not_make_the_others_text(bad, place):
    rows = ['"t","n"', *['"red",1'] * 60]
    rows.insert(place, f"{bad},2")
    assert told("\n".join(rows)) == {}
    assert told("\n".join(rows).replace('"', "'")) == {"quote": "'"}


@pytest.mark.parametrize("bad", ['"say "hi" now"', '"say "hi" now, "they" said'])
def test_quotes_are_text_where_most_are_out_of_order(bad):
    assert told("t\tn\n" + f'"red"\t1\n{bad}\t2\n{bad}\t2\n' * 5, "a.tsv") == {"quote": None}


def test_delimiters_and_line_ends_inside_quotes_are_text():
    rows = [["a", "b"], ["one; two\nthree", "1"], ["four, five", "2"]]
    for delimiter in (",", ";"):
        expected = {} if delimiter == "," else {"delimiter": ";"}
        assert told(text(rows, delimiter=delimiter)) == expected


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("1,2.5,x\n3,4.5,y\n", ("column_1", "column_2", "column_3")),
        ("x,1\ny,2\n", ("column_1", "column_2")),
        ("178,13,class_0\n" + "1,2,3,4\n" * 20, tuple(f"column_{i}" for i in range(1, 5))),
        ("a,b\n" + "".join(f"{i},2,3\n" for i in range(20)), ("row", "a", "b")),
        ("a\n" + "".join(f"r{i},2\n" for i in range(20)), ("row", "a")),
        ("a,b,c\n" + "".join(f"{i},0.5,0,\n" for i in range(20)), ("a", "b", "c", "column_4")),
        ("a,b\n" + "1,2,3\n2,2,3\n" * 10, ("a", "b", "column_3")),
        ("7\n8\n", ("column_1",)),
        ("?,0,1.5\n5,1,2.5\n6,0,3.5\n", ("column_1", "column_2", "column_3")),
        ("x,NA,1.5\ny,1,2.5\n", ("column_1", "column_2", "column_3")),
        (" NaN,a\n5,b\n", ("column_1", "column_2")),
    ],
    ids=[
        "numbers",
        "text and numbers",
        "counts",
        "names of rows",
        "names of rows of one column",
        "delimiter at the end of each line",
        "one more cell that no name is for",
        "one column",
        "missing number",
        "missing number below nothing",
        "missing number beside text",
    ],
)
def test_names_where_no_line_has_them(lines, names):
    assert told(lines) == {"header": names}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("values", ["{}.5", "{},5", '"w{} t"'])
def test_table_of_r_with_the_names_of_its_rows(delimiter, quote, columns, count, values):
    if delimiter == "," and "," in values:
        return  # R quotes no numbers, and says to use `;`
    for names in ([*range(1, count + 1)], [f"n{i}" for i in range(count)]):
        if not quote and "n0" in names:
            continue  # nobody can tell
        cells = [values.format(i) for i in range(count)]
        rows = [[f"{quote}x{i}{quote}" for i in range(columns)]]
        rows += [
            [f"{quote}{name}{quote}"] + [cell] * columns
            for name, cell in zip(names, cells, strict=True)
        ]
        found = told("".join(delimiter.join(row) + "\n" for row in rows))
        assert found.get("delimiter", ",") == delimiter
        assert found["header"] == ("row", *(f"x{i}" for i in range(columns)))
        assert found.get("decimal", ".") == ("," if values == "{},5" else ".")


@pytest.mark.parametrize("lines", ["text\nGood day\nBad night\n", 'text\n"Good day"\nBad night\n'])
def test_words_are_no_names_of_rows(lines):
    assert told(lines) == {}


@pytest.mark.parametrize(
    "lines",
    [
        "0,1,2,3\n0.5,1.5,2,3\n",
        "country,1990,1991,1992\nA,1,2,3\n",
        "150,4,setosa\n5.1,3.5,0\n4.9,3.0,1\n",
        "a,b\nx,y\n",
        "id,x\n1,\n2,5\n",
        "id,x\n?,1\n2,?\n",
        "red,blue,nan\n1,0,0\n0,0,1\n",
        "a,b\n",
        "",
    ],
    ids=[
        "count",
        "years",
        "a text above numbers",
        "all text",
        "empty cells",
        "missing numbers",
        "category of missing values",
        "no row",
        "empty",
    ],
)
def test_first_line_that_names_the_columns(lines):
    assert told(lines) == {}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("# from the web\nDate,x\n2020,1\n2021,2\n", "has 1 line before the one that names"),
        ("x      y\n0.5    1.5\n1.25  12.5\n", "aligned with blanks"),
        (" 0.5 1.5\n 1.2 2.5\n", "aligned with blanks"),
        ("x\n1,5\n2,5\n1,25\n", "number with a decimal comma, or the name of a row"),
    ],
)
def test_file_that_no_key_makes_readable_is_refused(lines, reason):
    with pytest.raises(ValueError, match=reason):
        told(lines)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    "below", [ROWS, [["name", "city", "job"], ["Al", "Bonn", "cook"], ["Bo", "Rome", "tailor"]]]
)
def test_titles_above_the_names_are_counted_also_where_delimiters_fill_them_up(
    below, number, padded
):
    titles = [["Staff, 1 May to 31 May 2024"], [], ["Source: the county"]][:number]
    if padded:  # as Excel writes a row of a sheet
        titles = [row + [""] * (3 - len(row)) for row in titles]
    lines = number if padded else sum(map(bool, titles))
    with pytest.raises(ValueError, match=f"has {lines} lines? before the one that names"):
        told(text(titles + below))


def test_names_of_groups_are_no_names_of_columns():
    with pytest.raises(ValueError, match="has 1 line before the one that names"):
        told("sun,,moon,\nx,y,x,y\n1.5,2.5,3.5,4.5\n2,3,4,5\n")


@pytest.mark.parametrize(
    "lines",
    [
        ",city\nAl,Bonn\nBo,Rome\n",  # a Series of pandas, whose index has no name
        "name,,job\nAl,x,cook\nBo,7,tailor\nCy,8,cook\n",
        "key,list,,\n1,2,3,4\n#ERR,x,y,z\n2,3,4,5\n",
    ],
)
def test_names_may_be_empty(lines):
    assert told(lines) == {}


def test_one_column_of_text_with_names_of_rows_has_no_title():
    assert told('"city"\n"Al","Bonn"\n"Bo","Rome"\n')["header"] == ("row", "city")


def test_delimiter_at_the_end_of_rows_moves_no_name():
    assert told('"a","b"\n"x","0.5",""\n"y","1.5","\n"\n')["header"] == ("a", "b", "column_3")


CELLS = st.one_of(
    st.integers(-999, 999).map(str),
    st.floats(-99, 99).map(lambda x: f"{x:.3f}"),
    st.sampled_from(["", "red", "good film", "a,b", "x;y", "NA", 'say "hi"']),
)


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=3, max_size=20)
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_rows_under_names_come_back_whatever_signs_were_used(rows, delimiter, encoding):
    names = [f"näme{'abcde'[i]}" for i in range(len(rows[0]))]
    content = text([names, *rows], delimiter=delimiter, quoting=csv.QUOTE_MINIMAL)
    found = sniff(content.encode(encoding), "a.csv", is_whole=True)
    how = {"delimiter": found.delimiter or ",", "quotechar": found.quote}
    assert list(csv.reader(io.StringIO(content), **how)) == [names, *rows]
    assert found.header is True


@given(st.binary(max_size=300))
def test_any_bytes_are_told_or_refused(content):
    try:
        sniff(content, "a.csv", is_whole=True)
    except ValueError as error:
        assert "\n" not in str(error)
