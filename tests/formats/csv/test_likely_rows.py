"""Bad rows of a block are found without a look at each, and cost no other row anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.batch.columns import presence_of, values_of
from pipeline.formats.csv import decoder as csv_decoder
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.fields import IrregularError
from pipeline.spec.record import RecordSpec

FIELDS = {
    "x": {"dtype": "float32"},
    "n": {"dtype": "int16"},
    "gap": {"dtype": "float64", "missing": "keep"},
    "v": {"dtype": "float32", "shape": [2]},
    "t": {"dtype": "string"},
    "on": {"dtype": "bool"},
}
HEADER = ("id", *[name for name in FIELDS if name != "v"], "v_0", "v_1")
GOOD = {"id": "r", "x": "1.5", "n": "7", "gap": "", "t": "a", "on": "true", "v_0": "1", "v_1": "2"}
ODD = [
    *("", " 1 ", "+1", "1e3", ".5", "5.", "0x10", "1_0", "oops", "nan", "inf", "1e39", "NA"),
    *('"a\r\nb"', '"a\rb"', '"a\r\n"', "a\r"),
    *("99999", "-0", "1,5", '"a,b"', '"a""b"', '"1.5"', 'a"b', "ü", "\r", "1.0", "\u0661", "007"),
]


@st.composite
def rows(draw):
    cells = dict(GOOD)
    if draw(st.booleans()):
        cells[draw(st.sampled_from(HEADER))] = draw(st.sampled_from(ODD))
    row = ",".join(cells[name] for name in HEADER).encode()
    return draw(st.sampled_from([row, row, row, row + b",z", row[:-2], b"", b"\xff" + row]))


class OneByOne(CsvDecoder):
    """Decodes each row by itself."""

    def plain(self, block):
        return None

    def part(self, block, rows):
        raise IrregularError


def decoded(payloads, decoder_of, csv):
    record = RecordSpec.model_validate({"id": "id", "fields": FIELDS, "csv": csv})
    block = Block(tuple(payloads), "a.csv", format="csv", first=2, header=HEADER)
    return decoder_of(record, ["t", "x"]).decode(block)


def same(one, other):
    assert (one.ids, one.pass_through, one.rejects) == (
        other.ids,
        other.pass_through,
        other.rejects,
    )
    assert list(one.payloads) == list(other.payloads)
    for name, column in one.columns.items():
        expected = other.columns[name]
        present = presence_of(column)
        assert (present == presence_of(expected)).all()
        assert repr(values_of(column)[present]) == repr(values_of(expected)[present])


@given(
    payloads=st.lists(rows(), min_size=1, max_size=6),
    csv=st.sampled_from(
        [{}, {"missing": ["NA"]}, {"quote": None}, {"decimal": ",", "delimiter": ";"}]
    ),
)
def test_rows_and_dead_letters_are_those_of_the_rows_one_by_one(payloads, csv):
    if "delimiter" in csv:
        payloads = [row.replace(b",", b";").replace(b".", b",") for row in payloads]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_decoder, "FEWEST_ROWS", 1)
        same(decoded(payloads, CsvDecoder, csv), decoded(payloads, OneByOne, csv))


@pytest.mark.parametrize("name", HEADER)
def test_cell_is_the_same_in_a_block_of_good_rows_and_by_itself(name):
    for odd in ODD:
        payloads = [",".join({**GOOD, name: odd}[key] for key in HEADER).encode()] * 2
        same(decoded(payloads, CsvDecoder, {}), decoded(payloads, OneByOne, {}))


@pytest.mark.parametrize("bad", [b"r,oops,7,,a,true,1,2", b"r,1.5,7,,a,true,1", b"\xff", b'r",1'])
def test_bad_row_among_many_costs_two_looks_at_the_block(bad, monkeypatch):
    looks = []
    parse = csv_decoder.parse

    def watched(payloads, layout):
        looks.append(len(payloads))
        return parse(payloads, layout)

    monkeypatch.setattr(csv_decoder, "parse", watched)
    good = ",".join(GOOD[name] for name in HEADER).encode()
    payloads = [good] * 300
    payloads[120] = bad
    found = decoded(payloads, CsvDecoder, {})
    assert (len(found), len(found.rejects)) == (299, 1)
    assert sum(looks) <= (4 if b'"' not in bad else 9) * 300


@pytest.mark.parametrize("missing", [[], ["NA"]])
@pytest.mark.parametrize(
    ("dtype", "cell"),
    [
        *(("float32", cell) for cell in (" 1.5", "+5", "+.5", "5.", "05", "5.00", "1e5", "-1E+05")),
        *(("float64", cell) for cell in ("1e-400", "123456789012345678901", '"5"')),
        *(("int64", cell) for cell in ("7 ", "+7", " +7 ", "007", "+007", "-07", "-0", '"+7"')),
        *(("int8", "\t-7"), ("uint8", "+7"), ("uint64", str(2**64 - 1)), ("uint64", "+7")),
        *(("bool", cell) for cell in ("true", "FALSE", " True ", "1", "0")),
    ],
)
def test_every_spelling_that_a_field_takes_is_read_in_blocks(missing, dtype, cell):
    """One by one, such rows would take a hundred times as long."""
    keys = {"csv": {"missing": missing}, "fields": {"x": {"dtype": dtype}}}
    record = RecordSpec.model_validate(keys)
    rows = (f"a,{cell}".encode(),) * csv_decoder.FEWEST_ROWS
    block = Block(rows, "a.csv", format="csv", header=("t", "x"))
    for repeated in ([], ["x"]):
        part = CsvDecoder(record, repeated).plain(block)
        assert part is not None, repeated
        expected = OneByOne(record, repeated).decode(block)
        assert part.columns["x"].tolist() == expected.columns["x"].tolist()


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        *(("int64", "+5", bad) for bad in ("+-5", "++5", "+ 5", "+", "5+", "5.0", "1e5", "50%")),
        *(("float32", "+5", bad) for bad in ("++5", "1_000", "$5", "50%", "yes")),
        *(("bool", "true", bad) for bad in ("yes", "t", "T", "1.0", "")),
    ],
)
def test_spelling_that_a_field_does_not_take_costs_its_rows_alone(dtype, good, bad):
    record = RecordSpec.model_validate({"fields": {"x": {"dtype": dtype}}})
    rows = [f"a,{good if i % 9 else bad}".encode() for i in range(90)]
    block = Block(tuple(rows), "a.csv", format="csv", header=("t", "x"))
    assert list(CsvDecoder(record).plain(block).rows) == [i for i in range(90) if i % 9]
    same(CsvDecoder(record).decode(block), OneByOne(record).decode(block))


@pytest.mark.parametrize("text", ["+49 30", "49"])
def test_plus_in_a_text_leaves_integers_to_arrow(monkeypatch, text):
    kinds = []
    parse = csv_decoder.parse

    def watched(*given):
        found = parse(*given)
        kinds.append([str(column.type) for column in found.values()])
        return found

    monkeypatch.setattr(csv_decoder, "parse", watched)
    record = RecordSpec.model_validate({"fields": {"x": {"dtype": "int64"}}})
    rows = (f"{text},7".encode(),) * csv_decoder.FEWEST_ROWS
    CsvDecoder(record).plain(Block(rows, "a.csv", format="csv", header=("t", "x")))
    assert kinds == [["int64"]]


@pytest.mark.parametrize("bad", [[], [b"a,oops"], [b"a,1\r"]])
def test_line_ends_of_windows_in_quotes_are_read_in_blocks(bad):
    record = RecordSpec.model_validate({"fields": {"x": {"dtype": "int64"}}})
    rows = (*bad, *[b'"one\r\ntwo",7'] * 80)
    block = Block(rows, "a.csv", format="csv", header=("t", "x"))
    part = CsvDecoder(record, ["t"]).plain(block)
    assert list(part.rows) == list(range(len(bad), len(rows)))
    assert set(part.extras) == {b'{"t":"one\\r\\ntwo"}'}
