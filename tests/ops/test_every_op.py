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

from pipeline.batch.columns import (
    Masked,
    Ragged,
    from_rows,
    iterate,
    masked_like,
    presence_of,
    take,
    values_of,
)
from pipeline.batch.tensors import DTYPES, describe, dtype_name, shape_fits
from pipeline.errors import RowsError
from pipeline.ops.registry import OPERATIONS
from pipeline.ops.step import apply, check_ready
from pipeline.spec.column_types import TEXTS, Gaps, TypesError
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
    *(step("prepare", "fill", value=value) for value in (3, "x", True)),
    step("prepare", "is_missing"),
    step("prepare", "decode_image"),
    step("prepare", "decode_image", channels=1),
    step("prepare", "resize", height=2, width=5),
    step("prepare", "resize", size=2, fit="shorter_side", method="bicubic"),
    step("prepare", "resize", height=2, width=5, fit="crop", antialias=False),
    step("prepare", "center_crop", height=1, width=2),
    step("prepare", "normalize", mean=[0.5, 0.4, 0.3]),
    step("prepare", "normalize", layout="chw"),
    step("prepare", "normalize", order="bgr"),
    step("prepare", "decode_audio", sampling_rate=16000),
    step("prepare", "decode_audio", rate="more"),
    step("prepare", "decode_raw", dtype="int16", byte_order="big"),
    step("prepare", "decode_raw", dtype="uint8", shape=[]),
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
fewer = settings(few, max_examples=8)
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


@pytest.mark.parametrize("step", STEPS, ids=ids)
@fewer
@given(data=st.data())
def test_a_row_that_lacks_a_column_costs_no_other_row_anything(step, data):
    check_ready(step)
    types = data.draw(st.sampled_from(readable(step)[0]))
    rows = data.draw(st.integers(1, 4))
    complete = {
        name: data.draw(columns(*read, rows))
        for name, read in zip(step.columns_read(), types, strict=True)
    }
    assume(computed(step, complete, varies=True) is not None)
    try:
        expected = apply(step, complete)
    except RowsError:
        assume(False)
    lacks = data.draw(hnp.arrays(bool, rows))
    name = data.draw(st.sampled_from(list(complete)))
    read = {**complete, name: Masked(complete[name], ~lacks)}
    for other, column in expected.items():
        try:
            made = apply(step, read)[other]
        except RowsError as error:  # rows that cannot be told from those with a value
            assert OPERATIONS[type(step)].compute_masked is not None
            assert set(error.messages) == set(np.flatnonzero(lacks))
            return
        assert len(made) == rows
        for row, (found, wanted) in enumerate(
            zip(iterate(values_of(made)), iterate(values_of(column)), strict=True)
        ):
            if not lacks[row]:
                assert presence_of(made)[row]
                assert np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f")
            elif OPERATIONS[type(step)].compute_masked is None:
                assert not presence_of(made)[row]


@pytest.mark.parametrize("step", STEPS, ids=ids)
@fewer
@given(data=st.data())
def test_rows_may_all_lack_a_column(step, data):
    check_ready(step)
    types = data.draw(st.sampled_from(readable(step)[0]))
    read = {
        name: data.draw(columns(*read, 2))
        for name, read in zip(step.columns_read(), types, strict=True)
    }
    none = {name: Masked(column, np.zeros(2, dtype=bool)) for name, column in read.items()}
    try:
        made = apply(step, none)
    except RowsError:
        assert OPERATIONS[type(step)].compute_masked is not None
        return
    except ValueError:
        assert None in [length for _, shape in types for length in shape]
        return
    for name, (dtype, shape) in step.types(*types).items():
        assert len(made[name]) == 2
        if OPERATIONS[type(step)].compute_masked is None:
            assert not presence_of(made[name]).any()
        for row in iterate(values_of(made[name])):
            assert row.size == 0 or dtype_name(row) == dtype
            assert len(row.shape) == len(shape)


NAN_INSIDE = [s for s in STEPS if s.keeps_nan]


@pytest.mark.parametrize("step", NAN_INSIDE, ids=ids)
def test_what_is_missing_inside_a_vector_stays_missing(step):
    shape = (2, 2, 3) if step.op == "normalize" else (2, 3)
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)[np.newaxis] / 100
    values.flat[0] = np.nan
    made = values_of(apply(step, {"a": values})["out"])
    expected = values_of(apply(step, {"a": np.nan_to_num(values)})["out"])
    missing = np.isnan(made)
    assert missing.sum() == np.isnan(values).sum()
    assert np.array_equal(made[~missing], expected[~missing])


def test_a_step_that_would_take_nan_for_a_number_refuses_vectors_with_it():
    refused = [step for step in STEPS if refuses_nan(step)]
    for step in STEPS:
        tells = OPERATIONS[type(step)].compute_masked is not None
        assert (step in refused) == (not step.keeps_nan and not tells), step.op


def refuses_nan(step):
    try:
        step.gaps(*[Gaps.INSIDE] * len(step.columns_read()))
    except TypesError as refusal:
        assert "fill" in str(refusal)
        return True
    return False


@given(hnp.arrays(np.float32, (4, 2)), hnp.arrays(bool, 4))
def test_fill_and_is_missing_are_each_others_complement(values, present):
    column = Masked(values, present)
    gone = apply(step("prepare", "is_missing"), {"a": column})["out"]
    assert np.array_equal(gone, np.isnan(values) | ~present[:, np.newaxis])
    filled = apply(step("prepare", "fill", value=-7), {"a": column})["out"]
    assert np.array_equal(filled, np.where(gone, np.float32(-7), values))


def test_joined_columns_have_nan_where_one_is_missing_and_nowhere_else():
    a = Masked(np.array([1, 0], np.int64), np.array([True, False]))
    b = masked_like(a, np.array([[1.5, 2.5], [3.5, 4.5]]))
    made = apply(step("prepare", "concat", ["a", "b"]), {"a": a, "b": b})["out"]
    assert np.array_equal(made, [[1, 1.5, 2.5], [np.nan, 3.5, 4.5]], equal_nan=True)


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
