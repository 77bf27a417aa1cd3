"""Bytes in text: every spelling gives the bytes, and what could mean others is refused."""

import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordError
from pipeline.formats.base64_text import from_base64
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.spec.record import FieldSpec

SPELLINGS = {
    "standard": lambda text: text,
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "unpadded": lambda text: text.rstrip("="),
    "lines": lambda text: "\r\n".join(textwrap.wrap(text, 5)) + "\n",
    "indented": lambda text: "\n".join(f"  {line}\t" for line in ["", *textwrap.wrap(text, 6), ""]),
    "URI": lambda text: f"data:image/png;charset=x;base64,{text}",
    "escaped URI": lambda text: "DATA:;BASE64," + text.replace("+", "%2B").replace("=", "%3d"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(st.binary(max_size=40))
def test_every_spelling_gives_the_bytes(spelling, content):
    assert from_base64(SPELLINGS[spelling](base64.b64encode(content).decode())) == content


@given(st.binary(max_size=40), st.sets(st.sampled_from(["URL-safe", "unpadded", "lines", "URI"])))
def test_spellings_may_come_together(content, some):
    text = base64.b64encode(content).decode()
    for name, spelling in SPELLINGS.items():
        text = spelling(text) if name in some else text
    assert from_base64(text) == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("QUI+QU I=", "Only base64 data"),  # the blank may have been a plus
        ("QUJDR", "number of data characters"),
        ("QQ=", "padding"),
        ("QQ==QQ==", "padding"),
        ("ab-+", "both alphabets"),
        ("data:text/plain,QUI=", "without ;base64"),
        ("data:;base64", "without ;base64"),
        ("QU\u2028I=", "ASCII"),
        ("QU\x0bI=", "Only base64 data"),
    ],
)
def test_what_could_mean_other_bytes_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        from_base64(text)


pieces = st.text("AQz09+/-_= \t\r\n%:;,", max_size=12) | st.sampled_from(["data:", ";base64,", "é"])


@given(st.lists(st.lists(pieces, max_size=4).map("".join), min_size=1, max_size=3))
def test_all_at_once_and_one_by_one_agree_on_any_text(texts):
    decoder = FieldDecoder("x", FieldSpec(dtype="bytes"))
    try:
        rows = [decoder.row(text).item() for text in texts]
    except RecordError as error:
        assert "text that is not base64" in str(error)
        with pytest.raises(IrregularError):
            decoder.column(texts)
    else:
        assert decoder.column(texts).tolist() == rows
