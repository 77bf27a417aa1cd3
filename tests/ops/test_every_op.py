"""Every operation has both its halves, and they agree: what it computes is what it announced."""

import functools
import itertools
import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter

from pipeline.batch.columns import Ragged, from_rows, iterate, take
from pipeline.batch.tensors import DTYPES, describe, dtype_name, shape_fits
from pipeline.errors import RowsError
from pipeline.ops.registry import OPERATIONS
from pipeline.ops.step import apply, check_ready
from pipeline.spec.column_types import TEXTS, TypesError
from pipeline.spec.combine import AnyCombine, CombineStep
from pipeline.spec.prepare import AnyPrepare, PrepareStep
from tests.support import sounds
from tests.support.images import encoded, gradient

KINDS = {"prepare": get_args(PrepareStep), "combine": get_args(CombineStep)}
ADAPTERS = {"prepare": TypeAdapter(AnyPrepare), "combine": TypeAdapter(AnyCombine)}
SOUND = sounds.encoded(sounds.tone(40))
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "good": 1}, "unk_token": "[UNK]"},
}


def step(stage, op, of="a", **keys):
    return ADAPTERS[stage].validate_python({"column": "out", "op": op, "of": of, **keys})


STEPS = [
    step("prepare", "concat", ["a", "b"]),
    step("prepare", "decode_image"),
    step("prepare", "decode_image", channels=1),
    step("prepare", "resize", height=2, width=5),
    step("prepare", "normalize", mean=[0.5, 0.4, 0.3]),
    step("prepare", "normalize", layout="chw"),
    step("prepare", "decode_audio", sampling_rate=16000),
    step("prepare", "decode_audio", rate="more"),
    step("prepare", "scale", factor=2),
    step("prepare", "scale", min=0, max=2),
    step("prepare", "clip", min=0, max=2),
    step("prepare", "clip", max=0.5),
    step("prepare", "log1p"),
    step("prepare", "bucketize", boundaries=[0, 0.5, 2]),
    step("prepare", "ordinal", labels=["", "7"]),
    step("prepare", "ordinal", labels=[0, 2], first=1, unknown=0),
    step("prepare", "hash", function="farm", buckets=7),
    step("prepare", "hash", function="murmur3", buckets=7, prefix="a="),
    step("prepare", "parse_time", part="weekday"),
    step("prepare", "parse_time", part="epoch_secs"),
    step("prepare", "one_hot", depth=3),
    step("prepare", "one_hot", labels=["", "7"]),
    step("prepare", "one_hot", labels=[0, 2]),
    *(step("prepare", "cast", dtype=dtype) for dtype in DTYPES),
    step("prepare", "lower"),
    step("prepare", "pad", length=2, truncate=True),
    step("prepare", "pad", length=3, value=1),
    step("prepare", "tokenize", tokenizer=json.dumps(TOKENIZER), mask="more"),
    step("prepare", "tokenize", tokenizer=json.dumps(TOKENIZER), max_length=2, pad=True),
    *(
        step("combine", op, of)
        for op in ("mean", "sum", "min", "max", "median", "product")
        for of in ("a", ["a", "b"])
    ),
    step("combine", "weighted_mean", ["a", "b"], weights=[1, 2]),
    step("combine", "vote", ["a", "b"]),
    *(step("combine", op) for op in ("argmax", "softmax", "sigmoid")),
    step("combine", "top_k", k=2, scores="more"),
    step("combine", "threshold", value=0.5),
    step("combine", "round", decimals=1),
    step("combine", "round", decimals=-1),
    step("combine", "concat", ["a", "b"]),
    step("combine", "lookup", labels=["zero", "one", "two"]),
]
SHAPES = [(), (1,), (3,), (2, 3), (4, 2, 3), (None,), (None, 3), (None, None, 3)]
TYPES = list(itertools.product(DTYPES, SHAPES))
VALUES = {
    "string": st.sampled_from(["", "7", "-2.5", "Good morning", "2024-02-29"]),
    "bytes": st.sampled_from([b"", b"7", b"\xff", encoded(gradient(3, 4)), SOUND]),
}

# Each step is one of many: few examples for each are many for all.
few = settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
every_kind = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)


def ids(step):
    return f"{step.op}-{step.of}-{getattr(step, 'dtype', '')}"


def test_every_operation_has_its_line_and_is_tried_here():
    kinds = [kind for of_stage in KINDS.values() for kind in of_stage]
    assert [*OPERATIONS] == kinds
    ops = {(kind, op) for kind in kinds for op in get_args(kind.model_fields["op"].annotation)}
    assert {(type(step), step.op) for step in STEPS} == ops


@every_kind
def test_every_operation_says_where_and_by_which_name_its_rows_fail(kind):
    assert kind in KINDS[kind.stage]
    assert kind.error_type.isidentifier()


@pytest.mark.parametrize("step", STEPS, ids=ids)
@few
@given(data=st.data())
def test_what_is_computed_has_the_types_that_were_announced(step, data):
    check_ready(step)
    types = data.draw(st.sampled_from(readable(step)[0]))
    rows = data.draw(st.integers(1, 4))
    read = {
        name: data.draw(columns(*read, rows))
        for name, read in zip(step.columns_read(), types, strict=True)
    }
    made = computed(step, read, varies=any(None in shape for _, shape in types))
    assume(made is not None)
    announced = step.types(*types)
    assert list(made) == list(announced) == step.columns_written()
    for name, (dtype, shape) in announced.items():
        for row in iterate(made[name]):
            assert row.size == 0 or dtype_name(row) == dtype
            assert shape_fits(row.shape, shape)


@pytest.mark.parametrize("step", [s for s in STEPS if OPERATIONS[type(s)].by_shape], ids=ids)
@few
@given(data=st.data())
def test_what_no_types_allow_is_refused_in_the_same_words(step, data):
    types, refusal = data.draw(st.sampled_from(readable(step)[1]))
    assume(not any(None in shape for _, shape in types))
    read = {
        name: data.draw(columns(*read, rows=2))
        for name, read in zip(step.columns_read(), types, strict=True)
    }
    with pytest.raises(ValueError) as error:
        apply(step, read)
    assert f"{step.op} {refusal}, found 'a' {describe(*types[0])}" in str(error.value)


@functools.cache
def readable(step):
    """The types that it can read, and those that it cannot, with the reason."""
    good, bad = [], []
    for types in itertools.product(TYPES, repeat=len(step.columns_read())):
        if {*TEXTS} <= {dtype for dtype, _ in types}:
            continue  # an array of text and bytes has no name
        try:
            step.types(*types)
            good.append(types)
        except TypesError as refusal:
            bad.append((types, str(refusal)))
    return good, bad


@st.composite
def columns(draw, dtype, shape, rows):
    """A column of a type; where lengths vary, ragged or dense as they happen to be."""
    if dtype in VALUES:
        array = functools.partial(hnp.arrays, object, elements=VALUES[dtype])
    else:
        small = st.booleans() if dtype == "bool" else st.integers(0, 3).map(np.dtype(dtype).type)
        elements = small | hnp.from_dtype(np.dtype(dtype))
        array = functools.partial(hnp.arrays, dtype, elements=elements)
    if None not in shape:
        return draw(array(shape=(rows, *shape)))
    lengths = st.tuples(*(st.integers(0, 4) if n is None else st.just(n) for n in shape))
    made = [draw(array(shape=draw(lengths))) for _ in range(rows)]
    return draw(st.sampled_from([Ragged, from_rows]))(made)


def computed(step, read, varies):
    """What a step makes of the rows that it can compute; None if there are none."""
    rows = len(read["a"])
    while rows:
        try:
            made = apply(step, read)
            assert {len(column) for column in made.values()} == {rows}
            return made
        except RowsError as error:
            bad = error.messages
        except ValueError:
            assert varies, "types that were announced cannot be read"
            return None
        good = np.array([row for row in range(rows) if row not in bad], dtype=np.intp)
        assert len(good) < rows
        rows, read = len(good), {name: take(column, good) for name, column in read.items()}
    return None
