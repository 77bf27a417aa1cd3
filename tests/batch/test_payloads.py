"""Lines of a text stand for the payloads that they are."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.payloads import Lines, take

texts = st.lists(st.binary(max_size=6) | st.sampled_from([b"", b"\n", b"a\nb", b"\n\n", b"\r"]))


@given(texts, st.data())
def test_lines_are_the_payloads_that_they_were_made_of(payloads, data):
    lines = Lines.of(payloads)
    assert len(lines) == len(payloads)
    assert list(lines) == payloads == [lines[row] for row in range(len(payloads))]
    assert lines == tuple(payloads)
    assert pickle.loads(pickle.dumps(lines)) == lines
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(payloads))] * 2)))
    assert list(lines.part(start, stop)) == payloads[start:stop]
    rows = data.draw(st.lists(st.integers(0, len(payloads) - 1))) if payloads else []
    assert list(take(lines, rows)) == [payloads[row] for row in rows]
    assert [lines.text[i:j] for i, j in zip(lines.begins, lines.ends, strict=True)] == payloads


@given(st.binary().map(lambda raw: raw.replace(b"a", b"\n")))
def test_lines_of_a_text_are_those_between_its_line_ends(text):
    assert list(Lines.split(text)) == text.split(b"\n")
