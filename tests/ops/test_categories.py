"""Operations on categories: what they make of the same texts that are known to be no categories."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.batch.categorical import Categorical, categorical
from pipeline.batch.columns import Masked, Ragged, iterate
from pipeline.batch.columns import take as taken
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.prepare import AnyPrepare

STEPS = (
    {"op": "one_hot", "labels": ["a", "A", "7", "2024-02-29"]},
    {"op": "ordinal", "labels": ["a", "7", ""]},
    {"op": "ordinal", "labels": ["a", "7", ""], "unknown": -1},
    {"op": "ordinal", "labels": ["a", "7", ""], "unknown": "missing"},
    {"op": "hash", "function": "farm", "buckets": 10},
    {"op": "lower"},
    {"op": "cast", "dtype": "int64"},
    {"op": "cast", "dtype": "float32"},
    {"op": "cast", "dtype": "bytes"},
    {"op": "parse_time", "part": "month"},
)
TEXTS = ("a", "A", "7", "", "2024-02-29", "\ud800", "a" * 300)

codings = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8).flatmap(
    lambda kinds: st.tuples(
        st.just(kinds), st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=20)
    )
)


def of(kinds, codes):
    categories = np.empty(len(kinds), dtype=object)
    categories[:] = kinds
    return categorical(categories, np.array(codes, dtype=np.int32))


def outcome(column, step):
    """What a step makes of a column; the reasons of its rows where it makes nothing."""
    parsed = TypeAdapter(AnyPrepare).validate_python({"column": "y", "of": "x", **step})
    try:
        made = apply(parsed, {"x": column})["y"]
    except RowsError as error:
        return error.messages
    values, present = (made.values, made.present) if isinstance(made, Masked) else (made, None)
    assert not isinstance(values, Ragged)
    rows = [row.tolist() for row in iterate(values)]
    return values.dtype, values.shape, rows, None if present is None else present.tolist()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: "-".join(map(str, step.values())))
@given(codings)
def test_step_makes_of_categories_what_it_makes_of_their_texts(step, coding):
    column = of(*coding)
    assert outcome(column, step) == outcome(np.array(column), step)


def test_lower_leaves_categories_which_the_next_step_computes_once_each():
    lowered = apply(
        TypeAdapter(AnyPrepare).validate_python({"column": "y", "op": "lower", "of": "x"}),
        {"x": of(["A", "a", "B"], [0, 1, 2, 0])},
    )["y"]
    assert isinstance(lowered, Categorical)
    assert lowered.coding is not None
    assert lowered.tolist() == ["a", "a", "b", "a"]


@given(codings, st.data())
def test_what_is_taken_of_categories_is_plain_text(coding, data):
    column = of(*coding)
    rows = np.array(data.draw(st.lists(st.integers(0, len(column) - 1))), dtype=np.intp)
    for made in (taken(column, rows), column[1:], np.concatenate([column, column]), column + "x"):
        assert getattr(made, "coding", None) is None
    texts = [coding[0][code] for code in coding[1]]
    assert column.tolist() == texts
    assert taken(column, rows).tolist() == [texts[row] for row in rows]


def test_categories_cannot_be_written_to_since_their_codes_would_tell_otherwise():
    with pytest.raises(ValueError, match="read-only"):
        of(["a"], [0])[...] = "b"


@given(codings)
def test_pickled_categories_are_the_same(coding):
    column = of(*coding)
    for protocol in (4, 5):
        again = pickle.loads(pickle.dumps(column, protocol))  # our own
        assert again.tolist() == column.tolist()
        assert again.coding is not None
    assert pickle.loads(pickle.dumps(column.reshape(-1))).tolist() == column.tolist()
