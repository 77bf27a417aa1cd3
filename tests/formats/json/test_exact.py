"""JSON: no value of a key that comes twice wins, and integers of any size are what they were."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.formats.json import exact
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.spec.record import RecordSpec

RECORD = RecordSpec.model_validate({"id": "id", "fields": {"x": {"dtype": "float64"}}})
GOOD = b'{"id": "a", "x": 1, "note": "1:2", "other": {"x": [{"x": 3}]}}'


def decode(*payloads, record=RECORD):
    return JsonDecoder(record, ("note",)).decode(Block(payloads, "a.jsonl"))


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        (b'{"id": "a", "x": 1, "x": 2}', "x"),
        (b'{"id": "a", "x": 1, "x": 1}', "x"),
        (b'{"id": "a", "x" :1, "x" : 2}', "x"),
        (b'{"id": "a", "x"  \t:1, "\\u0078": 2}', "x"),
        (b'{"id": "a", "x": 1, "id": "b"}', "id"),
        (b'{"id": "a", "x": 1, "note": 1, "note": null}', "note"),
        (b'{"id": "a", "x": 1, "note": [{"b": 1, "b": 2}]}', "b"),
    ],
)
def test_key_that_comes_twice_costs_its_record_and_no_value_wins(bad, key):
    for before in (0, 40):
        batch = decode(*[GOOD] * before, bad, GOOD)
        assert len(batch) == before + 1
        (reject,) = batch.rejects
        assert (reject.payload, reject.error_type) == (bad, "doubled_key")
        assert f"the key '{key}' more than once" in reject.error_message
        assert reject.record_id == (None if key == "id" else "a")


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        b'{"id": "a", "x": 1, "y": 1, "y": 2}',
        b'{"id": "a", "x": 1, "y": {"b": 1, "b": 2}}',
        b'{"id": "a", "x": 1, "note": "a \\":b\\" :c : d"}',
        b'{"id": "a", "x" : 1}',
        b'{"id": "a:", "x": 1, "note": {}, ":": ":"}',
    ],
)
def test_what_nobody_reads_may_come_twice_and_text_may_look_like_keys(good):
    assert decode(*[good] * 20).rejects == ()


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text('a":, '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a":'), inner, max_size=3),
)


@given(st.lists(values | st.integers(-(10**40), 10**40), min_size=1, max_size=20))
def test_what_is_passed_through_is_what_came_in(notes):
    rows = [{"id": f"r{i}", "x": i, "note": note} for i, note in enumerate(notes)]
    batch = decode(*(json.dumps(row).encode() for row in rows))
    assert batch.rejects == ()
    assert [json.loads(extra)["note"] for extra in batch.pass_through] == notes


@pytest.mark.parametrize("number", [2**64, 10**40, -(2**63) - 1])
def test_integers_beyond_64_bits_are_ids_as_text(number):
    payload = b'{"id": %d, "x": 1, "note": [%d]}' % (number, number)
    batch = decode(payload)
    assert batch.ids == (str(number),)
    assert json.loads(batch.pass_through[0]) == {"note": [number]}
    orjson.dumps(batch.ids)


def test_integer_beyond_64_bits_is_a_value_of_a_float_field_that_is_repeated_exactly():
    record = RecordSpec.model_validate({"fields": {"note": {"dtype": "float64"}}})
    batch = decode(b'{"note": %d}' % (2**70 + 1), record=record)
    assert batch.columns["note"].tolist() == [float(2**70)]
    assert json.loads(batch.pass_through[0]) == {"note": 2**70 + 1}


def test_many_numbers_of_an_object_are_not_each_looked_for_in_its_text(monkeypatch):
    read = []
    exact_json = exact.exact_json
    monkeypatch.setattr(exact, "exact_json", lambda text: read.append(text) or exact_json(text))
    text = b"{" + b",".join(b'"k%d":0.1000000000000000055' % i for i in range(200)) + b"}"
    (found,) = exact.with_exact_numbers([text], [orjson.loads(text)], [f"k{i}" for i in range(200)])
    assert read == [text]
    assert set(map(str, found.values())) == {"0.1000000000000000055"}
