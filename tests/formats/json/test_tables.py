"""Objects of single values are read into columns as they are one by one, or not at all."""

import json

import orjson
import polars
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.batch.columns import presence_of, values_of
from pipeline.formats.fields import IrregularError
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.spec.record import RecordSpec

FIELDS = {
    "price": {"dtype": "float32"},
    "count": {"dtype": "int32"},
    "big": {"dtype": "uint64"},
    "colour": {"dtype": "string"},
    "on": {"dtype": "bool"},
    "gap": {"dtype": "float64", "missing": "keep"},
    "hue": {"dtype": "string", "missing": "keep"},
}
RECORD = {"id": "id", "fields": FIELDS}
PLAIN = '{"price":0.5,"count":2,"big":3,"colour":"red","on":true,"gap":1.5,"hue":"x"}'
PLAIN_LINE = b'{"id":"r",' + PLAIN[1:].encode()
ODD_START = b'{"id":"r","price":1,"count":1,"big":0,"on":true,'
GOOD = {
    "id": ['"r"', "7"],
    "price": ["1.5", "2", "-0", "1e3", "0.1", "123456789012345678901234567890"],
    "count": ["1", "-5"],
    "big": ["18446744073709551615", "0"],
    "colour": ['"red"', '""', '"12:30"', '"a,b"', '"\\u00e9"', '"null"', '":null,"', '"{}"'],
    "on": ["true", "false"],
    "gap": ["null", "1.5"],
    "hue": ["null", '"x"'],
    "more": ["1", '"text"', "2.5", "null"],
}
ODD = st.sampled_from(
    [
        *(
            "1",
            "1.0",
            "true",
            "null",
            '"1"',
            '"text"',
            "[1]",
            "{}",
            '{"a":1}',
            "1e999",
            "NaN",
            "01",
        ),
        *(
            '"\\ud800"',
            '"\\ud83d\\ude00"',
            '"\\""',
            '"\\\\"',
            '"\\n"',
            '":"',
            '"\\u0022"',
            '"\\u003a"',
        ),
        *('"say \\"so\\""', "4294967296", "18446744073709551616", '"\\null"', '"a\x01b"', ' "x" '),
    ]
)


@st.composite
def lines(draw):
    """An object, most often a good one; now and then a value, a key, a blank is odd."""
    tokens = {key: draw(st.sampled_from(values)) for key, values in GOOD.items()}
    if draw(st.booleans()):
        tokens = {key: values[0] for key, values in GOOD.items()}
    if draw(st.integers(0, 3)) == 0:
        tokens[draw(st.sampled_from([*GOOD, "other"]))] = draw(ODD)
    pairs = list(tokens.items())
    if draw(st.integers(0, 5)) == 0:
        pairs = draw(st.permutations(pairs))[draw(st.integers(0, 2)) :]
    if draw(st.integers(0, 9)) == 0:
        pairs.append((draw(st.sampled_from([*GOOD])), draw(ODD)))
    colon = draw(st.sampled_from([":", ":", ": ", " : "]))
    line = "{" + ",".join(f'"{key}"{colon}{value}' for key, value in pairs) + "}"
    if draw(st.integers(0, 14)) == 0:
        line = draw(st.sampled_from(["", "{", line[:-1], line + " ", line + line, f"[{line}]"]))
    return line.encode()


def decoded(payloads, decoder_of, pass_through=()):
    decoder = decoder_of(RecordSpec.model_validate(RECORD), pass_through)
    return decoder.decode(Block(tuple(payloads), "file"))


tables = []


class OneByOne(JsonDecoder):
    """Decodes each object by itself."""

    def plain(self, block):
        return None

    def part(self, block, rows):
        raise IrregularError


class AsTables(JsonDecoder):
    """Notes in `tables` what it read as a table."""

    def plain(self, block):
        part = super().plain(block)
        tables.append(None if part is None else list(part.rows))
        return part


def same(one, other):
    assert one.ids == other.ids
    assert list(one.payloads) == list(other.payloads)
    assert one.pass_through == other.pass_through
    assert one.rejects == other.rejects
    for name, column in one.columns.items():
        expected = other.columns[name]
        assert type(column) is type(expected)
        present = presence_of(column)
        assert (present == presence_of(expected)).all()
        assert values_of(column).dtype == values_of(expected).dtype
        assert repr(values_of(column)[present]) == repr(values_of(expected)[present])


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr("pipeline.formats.json.decoder.FEWEST_ROWS", 1)


@settings(max_examples=150)
@given(payloads=st.lists(lines(), min_size=1, max_size=6), extras=st.booleans())
@example(  # as many quotes as there should be, though a number is in the place of a text
    payloads=[ODD_START + b'"colour":"\\"","more":"\\"","hue":5}'],
    extras=False,
)
@example(  # the same by an object in the place of a text
    payloads=[ODD_START + b'"colour":"red","hue":{"a":1}}'], extras=False
)
@example(  # as many colons as there should be, though a key comes twice
    payloads=[ODD_START + b'"colour":"\\u003a","hue":5,"count":1}'], extras=False
)
@example(  # as many nulls as there should be, though that of a key that comes twice is none of them
    payloads=[ODD_START + b'"colour":"red","hue":null,"count":null}'], extras=False
)
@example(payloads=[ODD_START + b'"colour":"red","hue":null,"hue":null}'], extras=False)
@example(payloads=[PLAIN_LINE, ODD_START + b'"colour":"\\ud800","hue":null}'], extras=False)
@example(payloads=[PLAIN_LINE, b"\n".join([ODD_START + b'"colour":"red"}'] * 2)], extras=False)
@example(  # a key that is not counted, a null that is not, and a number in the place of a text
    payloads=[
        b'{"id":"r","price":1,"count":1,"big":0,"colour":5,"on":true,"gap" :  null,"hue":null}'
    ],
    extras=False,
)
def test_columns_and_dead_letters_are_those_of_the_objects_one_by_one(payloads, extras):
    pass_through = ["hue", "more", "count"] if extras else []
    same(decoded(payloads, JsonDecoder, pass_through), decoded(payloads, OneByOne, pass_through))


def test_good_objects_are_read_as_a_table_and_bad_ones_cost_only_themselves():
    rows = [{"id": f"r{i}", **json.loads(PLAIN)} for i in range(100)]
    payloads = [orjson.dumps(row) for row in rows]
    payloads[3] = payloads[3][:-9]
    payloads[40] = payloads[40].replace(b'"price":0.5', b'"price":"0.5"')
    payloads[41] = payloads[41].replace(b'"count":2,', b"")
    payloads[60] = b""
    payloads[70] = payloads[70].replace(b'"price":0.5', b'"price":NaN')
    tables.clear()
    found = decoded(payloads, AsTables)
    same(found, decoded(payloads, OneByOne))
    assert tables == [[i for i in range(100) if i not in (3, 40, 41, 60, 70)]]
    assert len(found) == 95
    assert len(found.rejects) == 5


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"id": "r", **json.loads(PLAIN)}),
        json.dumps({"id": "r", **json.loads(PLAIN), "colour": '12:30 "so" null', "gap": None}),
        json.dumps({"id": 7, **json.loads(PLAIN), "other": "é", "more": None}),
        json.dumps({"more": 1.5, **json.loads(PLAIN), "id": "r"}, separators=(",", ":")),
    ],
)
def test_objects_as_people_write_them_are_read_as_a_table(line):
    tables.clear()
    decoded([line.encode()] * 3, AsTables)
    assert tables == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("field", "value"), [("x", {"dtype": "float32", "shape": [2]}), ("price", {"dtype": "float32"})]
)
def test_what_predictions_repeat_keeps_its_spelling_and_lists_have_another_way(field, value):
    record = RecordSpec.model_validate({"fields": {**FIELDS, field: value}})
    decoder = JsonDecoder(record, ["price"])
    payload = orjson.dumps({"id": "r", **json.loads(PLAIN), "x": [1, 2]})
    assert decoder.plain(Block((payload,) * 3, "file")) is None


def test_panic_of_the_library_costs_no_record(monkeypatch):
    class PanicError(BaseException):
        pass

    def panic(*_, **__):
        raise PanicError

    monkeypatch.setattr("polars.read_ndjson", panic)
    payload = orjson.dumps({"id": "r", **json.loads(PLAIN)})
    assert len(decoded([payload] * 3, JsonDecoder)) == 3


@pytest.mark.parametrize(
    "others",
    [
        [{}, {"z": 1.5}],
        [{}, {}, {"z": "a"}, {"y": True}, {}],
        [{"y": 1}, {"z": 1}],
        [{"z": None}, {"z": 7}],
        [{}, {"z": None}, {"z": 7}],
    ],
)
def test_undeclared_keys_that_first_objects_lack_leave_their_block_a_table(others):
    payloads = [orjson.dumps({"id": "r", **json.loads(PLAIN), **more}) for more in others]
    decoder = AsTables(RecordSpec.model_validate(RECORD))
    for _ in range(2):
        tables.clear()
        batch = decoder.decode(Block((payloads[0], *payloads), "file"))
        assert tables == [list(range(len(others) + 1))]
        same(batch, decoded([payloads[0], *payloads], OneByOne))


@pytest.mark.parametrize(
    "odd",
    [{"x:y": 1}, {'x"y': 1}, {"x\\y": 1}, {"o": {"k": 1}}, {"o": [1]}, {"z": None}],
    ids=["colon", "quote", "backslash", "object", "list", "null"],
)
def test_odd_record_costs_no_block_behind_it(odd):
    plain = [{"id": "r", **json.loads(PLAIN), **more} for more in ({}, {"z": 1})]
    odd_block = tuple(orjson.dumps(each) for each in (plain[0], plain[0] | odd))
    block = tuple(map(orjson.dumps, plain))
    decoder = AsTables(RecordSpec.model_validate(RECORD))
    same(decoder.decode(Block(odd_block, "file")), decoded(odd_block, OneByOne))
    tables.clear()
    for _ in range(3):
        same(decoder.decode(Block(block, "file")), decoded(block, OneByOne))
    assert tables == [[0, 1]] * 3


@settings(max_examples=60)
@given(blocks=st.lists(st.lists(lines(), min_size=1, max_size=4), min_size=2, max_size=8))
def test_what_was_read_before_changes_no_value(blocks):
    decoder = JsonDecoder(RecordSpec.model_validate(RECORD), ["more"])
    for payloads in blocks:
        found = decoder.decode(Block(tuple(payloads), "file"))
        same(found, decoded(payloads, OneByOne, ["more"]))


def test_blocks_that_are_never_tables_are_tried_ever_less_and_others_again(monkeypatch):
    calls = []
    read = polars.read_ndjson

    def counted(*given, **named):
        calls.append(given)
        return read(*given, **named)

    monkeypatch.setattr("polars.read_ndjson", counted)
    plain = {"id": "r", **json.loads(PLAIN)}
    odd = tuple(orjson.dumps(plain | {"z": z}) for z in (1, "a"))
    decoder = AsTables(RecordSpec.model_validate(RECORD))
    for _ in range(200):
        assert len(decoder.decode(Block(odd, "file"))) == 2
    assert len(calls) < 20
    tables.clear()
    for _ in range(40):
        decoder.decode(Block((orjson.dumps(plain),), "file"))
    assert tables[-1] == [0]
