"""Long lists of numbers in JSON: read without Python numbers, and as orjson would read them."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.batch.columns import Ragged, iterate
from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.formats.decoder import RowDecoder
from pipeline.formats.fields import IrregularError
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.formats.json.number_lists import NumberListReader
from pipeline.spec.record import RecordSpec


class OrjsonOnly(JsonDecoder):
    part = RowDecoder.part


class ListsOnly(JsonDecoder):
    def records(self, block, rows):
        raise AssertionError("read by orjson")


def spec(dtype="float32", shape=(16,), **others):
    fields = {"x": {"dtype": dtype, "shape": shape}, "n": {"dtype": "int64"}, **others}
    return RecordSpec.model_validate({"id": "id", "fields": fields})


def block(payloads):
    return Block(tuple(payloads), "a.jsonl")


def record(i, x, **more):
    return orjson.dumps({"id": i, "x": x, "n": -i, **more}, option=orjson.OPT_SERIALIZE_NUMPY)


def assert_same(found, expected):
    assert found.ids == expected.ids
    assert list(map(type, found.ids)) == list(map(type, expected.ids))
    assert found.payloads == expected.payloads
    assert found.pass_through == expected.pass_through
    assert found.rejects == expected.rejects
    for name, column in expected.columns.items():
        assert type(found.columns[name]) is type(column)
        for have, want in zip(iterate(found.columns[name]), iterate(column), strict=True):
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            assert have.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("lengths", [(16,), (16, 17), (0,)])
def test_lists_of_every_dtype_are_read_without_python_numbers(dtype, lengths):
    rng = np.random.default_rng(7)
    low, high = (-1e4, 1e4) if dtype in FLOATS else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    lists = [
        rng.uniform(low, high, lengths[i % len(lengths)]).astype(dtype).tolist() for i in range(40)
    ]
    payloads = [record(i, x, tag=f"é{i}", more={"a": i}) for i, x in enumerate(lists)]
    decoders = [decoder(spec(dtype, (None,)), ["tag", "n"]) for decoder in (ListsOnly, OrjsonOnly)]
    found, expected = (decoder.decode(block(payloads)) for decoder in decoders)
    assert_same(found, expected)
    assert [row.tolist() for row in iterate(found.columns["x"])] == lists
    assert isinstance(found.columns["x"], Ragged) == (len(lengths) > 1)


numbers = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**64), 2**65)
    | st.integers(-1, 1)
    | st.sampled_from([-0.0, 2**53 + 1, 2**63, 2**64 - 1, 1e39, 5e-324, 65520.0, True, None, "1"])
)
texts = st.text(st.characters(codec="utf-8"), max_size=3)
nested = st.recursive(
    numbers, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
)


@st.composite
def payload(draw):
    """A good record, or one of those that could be read in more than one way."""
    x = [draw(st.floats(-9, 9, width=16)) for _ in range(16)]
    i = draw(st.integers(0, 2**64) | texts)
    members = [("id", i), ("x", x), ("n", draw(st.integers(-(2**63), 2**63 - 1)))]
    for at in draw(st.lists(st.integers(0, 15), max_size=2)):
        x[at] = draw(numbers)
    if draw(st.integers(0, 3)) == 0:
        key = draw(st.sampled_from(["id", "x", "n", "tag", "other", "\\u0078", "x/y"]))
        members.append((key, draw(nested)))
    if draw(st.integers(0, 9)) == 0:
        members[1] = ("x", draw(st.sampled_from([[x[:8], x[8:]], [[], *x[1:]], x[1:], x[0]])))
    members = draw(st.permutations(members))
    text = ", ".join(f'"{key}": {json.dumps(value)}' for key, value in members)
    before = draw(st.sampled_from(["", "", "", "\ufeff", " ", "["]))
    return f"{before}{{{text}}}".encode()


@given(
    st.sampled_from(["float16", "float32", "float64", "int8", "int64", "uint64"]),
    st.sampled_from([(16,), (None,)]),
    st.lists(payload(), min_size=1, max_size=2),
    st.sampled_from([[], ["tag"], ["n"], ["x"]]),
)
def test_whatever_the_records_are_orjson_would_read_the_same(dtype, shape, odd, pass_through):
    good = record(1, [1] * 16, tag="a")
    payloads = [*odd, *[good] * 16]
    found, expected = (
        decoder(spec(dtype, shape), pass_through).decode(block(payloads))
        for decoder in (JsonDecoder, OrjsonOnly)
    )
    assert_same(found, expected)


@pytest.mark.parametrize(
    "odd",
    [
        b'{"id":1,"x":[1],"n":1,"n":2}',
        b'{"id":1,"x":[1],"n":1,"\\u006e":2}',
        b'{"id":1,"x":[[1]],"n":1}',
        b'{"id":[1],"x":1,"n":1}',
        b'{"id":1,"x":[1],"n":{}}',
        b'{"id":1,"x":[true],"n":1}',
        b'{"id":1,"x":[18446744073709551616],"n":1}',
        b'{"id":1,"x":[1]}',
        b'{"id":1,"x":[1],"n":1}{}',
        b'\xef\xbb\xbf{"id":1,"x":[1],"n":1}',
        b'{"id":"\xff","x":[1],"n":1}',
        b"[1]",
        b"",
    ],
)
def test_record_that_could_be_read_otherwise_is_irregular(odd):
    reader = NumberListReader({"x": "d"}, ["id", "n"])
    good = b'{"id":1,"x":[0.5],"n":1}'
    assert reader.read([good] * 2)["id"] == [1, 1]
    for payloads in ([odd], [good, odd], [odd, good]):
        with pytest.raises(IrregularError):
            reader.read(payloads)
