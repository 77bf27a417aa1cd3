"""A JSON array as lines: each value is one, wherever the text is cut into chunks."""

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.formats.json.array import as_lines
from pipeline.formats.lines import DamagedFileError

TEXTS = st.text(st.sampled_from('a"\\{}[],:\n é'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), ("\n,\t", " :\r\n")])


def cut(text, sizes):
    """A text in chunks, of these sizes in turn."""
    chunks, begin = [], 0
    while begin < len(text):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(text[begin : begin + size])
        begin += size
    return iter(chunks)


def lines_of(chunks):
    """All lines, and what the array raised at its end."""
    found, failure = b"", None
    try:
        for chunk in as_lines(chunks):
            found += chunk
    except DamagedFileError as error:
        failure = error
    lines = found.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines, failure


@given(
    values=st.lists(VALUES, max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    separators=SEPARATORS,
    ascii_only=st.booleans(),
    around=st.tuples(*[st.sampled_from([b"", b" ", b"\r\n\n"])] * 2),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
@example(["\\\\\\"] * 3, None, (",", ":"), True, (b"", b""), [1])
@example([[{"a": "]"}], "[", {}], 2, (", ", ": "), True, (b"", b"\n"), [2])
def test_each_value_is_a_line(values, indent, separators, ascii_only, around, sizes):
    text = json.dumps(values, indent=indent, separators=separators, ensure_ascii=ascii_only)
    whole = around[0] + text.encode() + around[1]
    for chunks in (cut(whole, sizes), iter([whole])):
        lines, failure = lines_of(chunks)
        assert [json.loads(line) for line in lines] == values
        assert failure is None


@given(values=st.lists(VALUES, min_size=1, max_size=4), data=st.data())
def test_of_an_array_that_is_cut_all_values_before_are_there_and_the_cut_is_told(values, data):
    text = json.dumps(values).encode()
    text = text[: data.draw(st.integers(1, len(text) - 1))]
    lines, failure = lines_of(cut(text, [data.draw(st.integers(1, 9))]))
    assert failure is not None
    assert failure.text_bytes == len(text)
    whole, rest = lines[:-1], lines[-1:]
    assert [json.loads(line) for line in whole] == values[: len(whole)]
    # Nothing but separators is lost: the last line is the beginning of the next value, or all.
    begins = json.dumps(values[len(whole)]).encode() if len(whole) < len(values) else b""
    assert all(begins.startswith(line.strip(b" ")) for line in rest)


@pytest.mark.parametrize("behind", [b'{"a": 1}\n{"a": 2}', b"garbage,\n[3]"])
def test_what_stands_behind_the_array_comes_as_it_is(behind):
    text = b"[1, 2]\n " + behind
    for sizes in ([1], [100]):
        lines, failure = lines_of(cut(text, sizes))
        assert lines == [b"1", b"2", *behind.split(b"\n")]
        assert failure is None


@given(
    arrays=st.lists(st.lists(VALUES, max_size=3), min_size=1, max_size=4),
    indent=st.sampled_from([None, 1]),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_arrays_that_follow_each_other_are_read_one_after_the_other(arrays, indent, sizes):
    text = "\n".join(json.dumps(array, indent=indent) for array in arrays).encode()
    lines, failure = lines_of(cut(text, sizes))
    assert [json.loads(line) for line in lines] == [value for array in arrays for value in array]
    assert failure is None


def test_memory_is_that_of_a_part_of_the_text():
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError):
            for _ in as_lines([b"[" * (32 << 20)]):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 160 << 20


def test_value_that_is_missing_is_a_line_of_its_own_but_for_the_last():
    assert lines_of([b"[1,,2]"])[0] == [b"1", b"", b"2"]
    assert lines_of([b"[1,2, ]"])[0] == [b"1", b"2"]


@pytest.mark.parametrize("sizes", [[1], [100]])
def test_brace_that_nobody_opened_makes_a_bad_value_and_does_not_vanish(sizes):
    lines, failure = lines_of(cut(b'[{"a": 1}, {"a": 2}}, {"a": 3}]', sizes))
    assert lines == [b'{"a": 1}', b'{"a": 2}}', b', {"a": 3}]']
    assert failure is None
    assert lines_of(cut(b"[}", sizes)) == ([b"}"], None)


def test_line_end_inside_of_a_text_does_not_make_two_records_of_one():
    (line,), _ = lines_of([b'[{"a": "one\ntwo"}]'])
    with pytest.raises(ValueError, match="control character"):
        json.loads(line)
