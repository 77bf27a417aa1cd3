"""Rows whose quotes are looked at all at once are those that are found one by one."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.batch.payloads import Lines
from pipeline.formats.csv import rows as csv_rows
from pipeline.formats.csv.rows import all_proper, whole_rows

CELLS = st.sampled_from(
    [b"a", b"", b'""', b'"a"', b'"a,b"', b'"a""b"', b'""""', b'"a\nb"', b'"a\r\nb"', b'"\n"']
)
ODD_CELLS = st.sampled_from([b'a"', b'"a"b', b'"a', b"a\rb", b'"""', b'" "" ', b'"\r"'])
ROWS = st.lists(st.lists(CELLS | ODD_CELLS, min_size=1, max_size=3).map(b",".join), max_size=6)
# Each of them by itself is proper, or is not: together they would have as many rows as they are.
IN_STEP = [b'a,"b', b'",\n",",\n",e', b'c"']


def one_by_one(check, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "quoted_places", lambda *_: None)
        return check(*arguments)


def rows_of(lists):
    return list(itertools.chain(*whole_rows(map(Lines.of, lists))))


@given(rows=ROWS, end=st.sampled_from([b"\n", b"\r\n"]), cut=st.integers(0, 8))
@example(rows=IN_STEP, end=b"\n", cut=0)
def test_rows_are_the_same_whatever_the_quotes(rows, end, cut):
    lines = end.join(rows).split(b"\n")
    lists = [lines[:cut], lines[cut:]]
    assert rows_of(lists) == one_by_one(rows_of, lists)


@given(rows=ROWS)
@example(rows=IN_STEP)
def test_rows_are_proper_together_if_each_of_them_is(rows):
    rows = Lines.of(rows)
    assert all_proper(rows) == one_by_one(all_proper, rows)


def test_of_proper_rows_none_is_looked_at_by_itself(monkeypatch):
    monkeypatch.setattr(csv_rows, "rows_one_by_one", None)
    rows = [b'1,"a"', b'2,"say ""so"""', b"3,plain", b'4,"two\nlines"', b'5,""']
    assert rows_of([(b"\r\n".join(rows) + b"\r").split(b"\n")]) == rows


def test_row_that_may_go_on_is_held_no_longer_than_a_row_may_be(monkeypatch):
    monkeypatch.setattr(csv_rows, "MAX_ROW_BYTES", 10)
    lines = [b'1,"stray', b"2,b", b"3,c", b"4,d"]
    assert rows_of([lines]) == lines
