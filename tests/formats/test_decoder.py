"""The record decoder: every payload becomes a row or a reject, and both ways of reading agree."""

import base64
import gzip
import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Block, Origin
from pipeline.batch.columns import Ragged, iterate
from pipeline.batch.payloads import JsonRows
from pipeline.batch.tensors import DTYPES, FLOATS, INTEGERS
from pipeline.errors import RecordError
from pipeline.formats.decoder import payload_hash
from pipeline.formats.fields import FieldDecoder, IrregularError
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.spec.record import FieldSpec, RecordSpec

RECORD = RecordSpec.model_validate(
    {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [2]}, "n": {"dtype": "int8"}}}
)


def block(payloads, origins=None):
    return Block(tuple(payloads), "a.jsonl", origins=origins and tuple(origins))


def record(**changes):
    value = {"id": "a", "x": [0.5, 1], "n": 3, **changes}
    return orjson.dumps({k: v for k, v in value.items() if v is not ...})


def test_good_records_become_columns_of_the_declared_types():
    batch = JsonDecoder(RECORD).decode(block([record(), record(id=7, x=[2, -1.5], n=-128)]))
    assert batch.ids == ("a", 7)
    assert batch.columns["x"].dtype == np.float32
    assert batch.columns["x"].tolist() == [[0.5, 1.0], [2.0, -1.5]]
    assert batch.columns["n"].dtype == np.int8
    assert batch.columns["n"].tolist() == [3, -128]
    assert batch.rejects == ()


@pytest.mark.parametrize(
    ("payload", "kind", "says"),
    [
        (b"", "empty", "empty"),
        (b"   ", "empty", "empty"),
        (b"{", "not_json", "line 1 column 2"),
        (b"hello", "not_json", "not JSON"),
        (b"[1]", "not_an_object", "found a list, expected a JSON object"),
        (b"null", "not_an_object", "found null"),
        (b'{"id": "\xff"}', "not_utf8", "0xff at position 8"),
        (record(x=...), "missing_field", "field 'x' is missing; the record has id, n"),
        (record(id=...), "missing_field", "field 'id' is missing"),
        (record(id=True), "wrong_type", "id field 'id': found a boolean, expected text or an int"),
        (record(id=None), "wrong_type", "id field 'id': found null, expected text or an integer"),
        (b'{"data": %b}' % record(), "missing_field", "has data; `path: [data, id]` reads the one"),
        (
            b'{"op": "c", "payload": {"before": null, "after": %b}}' % record(),
            "missing_field",
            "`path: [payload, after, id]` reads the one inside",
        ),
        (gzip.compress(record(), mtime=0), "not_utf8", "is not UTF-8; it looks compressed (gzip)"),
        (record().decode().encode("utf-16"), "not_utf8", "looks like UTF-16, expected UTF-8"),
        (record(x=1), "wrong_type", "field 'x': found the number 1, expected float32[2]"),
        (record(x=[1]), "wrong_shape", "field 'x': found 1 value, expected float32[2]"),
        (record(x=[1, "2"]), "wrong_type", "found the text '2' at [1]"),
        (record(x=[1, None]), "wrong_type", "found null at [1]"),
        (record(x=[1, True]), "wrong_type", "found a boolean at [1]"),
        (record(x=[[1], [2]]), "wrong_type", "found a list at [0]"),
        (record(x=[1, 1e39]), "not_finite", "found 1e+39 at [1]"),
        (record().replace(b"0.5", b"1e400"), "not_finite", "found 1E+400 at [0], beyond its range"),
        (record().replace(b"0.5", b"-1e400"), "not_finite", "found -1E+400 at [0], beyond its"),
        (record().replace(b"0.5", b"9" * 400), "not_finite", "found a number of 400 characters"),
        (record().replace(b"0.5", b"9" * 5000), "not_finite", "a number of 5000 characters at [0]"),
        (
            record().replace(b":3", b":%d" % 10**30),
            "out_of_range",
            f"found {10**30}, beyond its range, expected int8",
        ),
        (
            record(id="half").replace(b"half", b"\\ud800").replace(b"0.5", b"1e400"),
            "not_json",
            "not JSON: no low surrogate",
        ),
        *(
            (record().replace(b"0.5", word), "not_json", f"found {word.decode()}: JSON has no NaN")
            for word in (b"NaN", b"nan", b"-NaN", b"Infinity", b"-Infinity", b"inf", b"+inf")
        ),
        *(
            (record().replace(b"0.5", word), "not_json", f"found {word.decode()}: numbers of JSON")
            for word in (b"+1", b".5", b"1.", b"01", b"0x1F", b"1_000")
        ),
        (record().replace(b"0.5", b"None"), "not_json", "found None: it looks like text of Python"),
        (record().replace(b'"', b"'"), "not_json", "found 'id': it looks like text of Python"),
        *(
            (line, "not_json", "a file that begins with `[` and ends with `]` is read")
            for line in (record() + b" ,", b"," + record(), record() + b"]", b"[", b"]", b"],")
        ),
        (b"[" + record() + b",", "not_json", "it looks like a part of a JSON array"),
        (record() * 2, "not_json", "several objects in one line"),
        (record(n=1.0), "wrong_type", "field 'n': found the number 1.0, expected int8"),
        (record(n=128), "out_of_range", "found 128, beyond its range, expected int8"),
        (record(n=False), "wrong_type", "found a boolean"),
        (record(n={}), "wrong_type", "found an object"),
    ],
)
def test_bad_record_is_rejected_with_field_found_and_expected(payload, kind, says):
    good = record()
    batch = JsonDecoder(RECORD).decode(block([good, payload, good]))
    assert batch.payloads == (good, good)
    (reject,) = batch.rejects
    assert (reject.payload, reject.stage, reject.error_type) == (payload, "decode", kind)
    assert says in reject.error_message


@pytest.mark.parametrize(
    ("number", "repeated"),
    [(b"1e400", "1E+400"), (b"-1e400", "-1E+400"), (b"9" * 400, "9" * 400)],
)
def test_number_that_no_float_holds_costs_no_record_that_does_not_read_it(number, repeated):
    good = record()[:-1] + b', "note": ' + number + b"}"
    for count in (1, 100):
        batch = JsonDecoder(RECORD, ["note"]).decode(block([good] * count))
        assert len(batch) == count
        assert batch.pass_through[0].decode() == f'{{"note":{repeated}}}'


def test_one_bad_record_in_a_large_block_costs_no_other():
    payloads = [record(id=i) for i in range(1000)]
    payloads[637] = b"{"
    batch = JsonDecoder(RECORD).decode(block(payloads))
    assert batch.ids == tuple(i for i in range(1000) if i != 637)
    assert [reject.payload for reject in batch.rejects] == [b"{"]


def test_reject_carries_the_id_when_it_is_known():
    (reject,) = JsonDecoder(RECORD).decode(block([record(id="known", n=None)])).rejects
    assert reject.record_id == "known"


def test_without_id_field_the_id_is_a_stable_hash_of_the_payload():
    decoder = JsonDecoder(RecordSpec.model_validate({"fields": {"n": {"dtype": "int8"}}}))
    payloads = [b'{"n":1}', b'{"n":2}', b'{"n":1}']
    ids = decoder.decode(block(payloads)).ids
    assert ids[0] == ids[2] == payload_hash(b'{"n":1}') == "984530e49acf879ea2a3b7c3062fca65"
    assert ids[0] != ids[1]


def test_passed_through_values_are_repeated_as_they_came():
    decoder = JsonDecoder(RECORD, ["tag", "n"])
    batch = decoder.decode(block([record(tag={"a": [1, None]}), record()]))
    assert batch.pass_through == (b'{"tag":{"a":[1,null]},"n":3}', b'{"tag":null,"n":3}')


def test_variable_axis_gives_a_ragged_column_and_equal_lengths_a_dense_one():
    decoder = JsonDecoder(
        RecordSpec.model_validate({"fields": {"t": {"dtype": "int64", "shape": [None]}}})
    )
    ragged = decoder.decode(block([b'{"t":[1,2]}', b'{"t":[]}'])).columns["t"]
    assert isinstance(ragged, Ragged)
    assert [row.tolist() for row in ragged.rows] == [[1, 2], []]
    dense = decoder.decode(block([b'{"t":[1,2]}', b'{"t":[3,4]}'])).columns["t"]
    assert dense.tolist() == [[1, 2], [3, 4]]


def test_block_without_a_good_record_keeps_columns_of_the_declared_types():
    batch = JsonDecoder(RECORD).decode(block([b"", b"{"]))
    assert len(batch) == 0
    assert batch.columns["x"].shape == (0, 2)
    assert batch.columns["x"].dtype == np.float32
    assert len(batch.rejects) == 2


def leaves(dtype):
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        return st.integers(int(info.min), int(info.max))
    if dtype in FLOATS:
        return st.floats(width=int(dtype[5:]), allow_nan=False, allow_infinity=False)
    if dtype == "bool":
        return st.booleans()
    text = st.text(st.characters(codec="utf-8"), max_size=5)
    return (
        text
        if dtype == "string"
        else st.binary(max_size=5).map(lambda b: base64.b64encode(b).decode())
    )


@st.composite
def field_and_values(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.sampled_from([(), (1,), (3,), (2, 2), (None,), (None, 2)]))
    rows = draw(st.integers(1, 4))

    def value(axes):
        if not axes:
            return draw(leaves(dtype))
        n = draw(st.integers(0, 3)) if axes[0] is None else axes[0]
        return [value(axes[1:]) for _ in range(n)]

    return FieldSpec(dtype=dtype, shape=shape), [value(shape) for _ in range(rows)]


@given(field_and_values())
def test_both_ways_of_reading_give_the_same_column(case):
    spec, values = case
    decoder = FieldDecoder("f", spec)
    values = json.loads(json.dumps(values))
    column = decoder.column(values)
    rows = [decoder.row(value) for value in values]
    for have, want, value in zip(iterate(column), rows, values, strict=True):
        assert have.dtype == want.dtype
        assert np.array_equal(have, want)
        if spec.dtype not in (*FLOATS, "bytes"):
            assert want.tolist() == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(DTYPES),
    st.sampled_from([(), (2,), (1, 2), (None,)]),
    st.lists(json_values, min_size=1, max_size=3),
)
def test_column_accepts_exactly_what_row_accepts(dtype, shape, values):
    decoder = FieldDecoder("f", FieldSpec(dtype=dtype, shape=shape))

    def accepted(value):
        try:
            return bool(decoder.row(value) is not None)
        except RecordError as error:
            assert "'f'" in str(error)
            assert "expected" in str(error)
            return False

    try:
        decoder.column(values)
        fast = True
    except IrregularError:
        fast = False
    assert fast == all([accepted(value) for value in values])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.builds(lambda v: json.dumps(v).encode(), json_values),
            st.builds(
                lambda i, x, n: json.dumps({"id": i, "x": x, "n": n}).encode(),
                st.text(max_size=2) | st.integers(0, 9),
                st.lists(st.floats(-1, 1) | st.integers(0, 1) | st.none(), min_size=1, max_size=3),
                st.integers(-200, 200),
            ),
        ),
        max_size=40,
    )
)
def test_every_payload_is_a_row_or_a_reject_exactly_once(payloads):
    batch = JsonDecoder(RECORD).decode(block(payloads))
    seen = sorted([*batch.payloads, *(reject.payload for reject in batch.rejects)])
    assert seen == sorted(payloads)
    assert len(batch.columns["x"]) == len(batch.columns["n"]) == len(batch)
    rejected = [reject.payload for reject in batch.rejects]
    assert list(batch.payloads) == [p for p in payloads if p not in rejected]
    assert not any(math.isnan(v) for v in batch.columns["x"].ravel())


def test_origins_stay_with_their_records_also_past_bad_ones():
    payloads = [record(id=i) for i in range(40)]
    payloads[13] = b"{"
    origins = [Origin(i, {"n": str(i)}) for i in range(40)]
    batch = JsonDecoder(RECORD).decode(block(payloads, origins))
    assert [o.event_time_us for o in batch.origins] == list(batch.ids)
    assert batch.rejects[0].origin == origins[13]


@pytest.mark.parametrize("shape", [(), (64,), (8, 8)])
def test_one_boolean_among_many_numbers_is_found(shape):
    decoder = FieldDecoder("f", FieldSpec(dtype="float32", shape=shape))

    def rows(odd):
        flat = [0.5] * 6400
        flat[77], flat[6000], flat[4321] = 0, 1.0, odd
        return np.array(flat, dtype=object).reshape(-1, *shape).tolist()

    assert decoder.column(rows(1)).dtype == np.float32
    for odd in (True, False):
        with pytest.raises(IrregularError):
            decoder.column(rows(odd))


class Fragile(JsonDecoder):
    """A library that raises what it likes for bytes that it did not expect."""

    def record(self, block, row):
        if b"odd" in block.payloads[row]:
            raise OverflowError("days=2147483647")
        return super().record(block, row)

    def part(self, block, rows):
        if any(b"odd" in block.payloads[row] for row in rows):
            raise RuntimeError("not at once")
        return super().part(block, rows)


def test_whatever_a_record_leads_a_library_to_costs_that_record():
    payloads = [record(id=f"odd{i}" if i in (3, 40) else f"r{i}") for i in range(60)]
    batch = Fragile(RECORD).decode(block(payloads))
    assert len(batch) == 58
    assert [letter.payload for letter in batch.rejects] == [payloads[3], payloads[40]]
    assert {(letter.error_type, letter.error_message) for letter in batch.rejects} == {
        ("unreadable_value", "OverflowError: days=2147483647")
    }


@pytest.mark.parametrize(
    "value",
    [2**70, "half a pair \ud800", {1: 2**70}, [{"deep": "\udfff"}], {("a", 1): 1}, object()],
)
def test_payload_of_a_row_shows_what_json_cannot_hold(value):
    shown = orjson.loads(JsonRows([{"id": "a", "x": value}])[0])
    assert shown["id"] == "a"
    assert shown["x"]


def test_payload_of_a_row_nested_without_end_is_made():
    value = []
    for _ in range(5000):
        value = [value]
    assert orjson.loads(JsonRows([{"id": "a", "x": value}])[0])["id"] == "a"
