"""What the combine operations refuse: whole columns at launch, single rows later."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipeline.batch.columns import Ragged
from pipeline.errors import RowsError
from pipeline.ops.step import apply
from pipeline.spec.combine import AnyCombine


def step(op, of, **parameters):
    return TypeAdapter(AnyCombine).validate_python(
        {"column": "out", "op": op, "of": of, **parameters}
    )


def test_ragged_row_too_short_is_rejected_alone_under_its_own_index():
    rows = Ragged(np.arange(n, dtype="float32") for n in (3, 1, 3, 0))
    with pytest.raises(RowsError) as caught:
        apply(step("top_k", "a", k=2), {"a": rows})
    assert caught.value.messages == {
        1: "combine column 'out': top_k needs a last axis of at least 2, found 'a' float32[1]",
        3: "combine column 'out': top_k needs a last axis of at least 2, found 'a' float32[0]",
    }


def test_ragged_column_that_no_row_saves_is_refused_as_a_whole():
    texts = Ragged(np.full(n, "x", dtype=object) for n in (1, 2))
    with pytest.raises(ValueError, match=r"argmax needs numbers, found 'a' string\[1\]"):
        apply(step("argmax", "a"), {"a": texts})


@pytest.mark.parametrize(
    "every",
    [step("argmax", "a"), step("top_k", "a", k=1), step("threshold", "a", value=0.0)],
    ids=lambda every: every.op,
)
def test_nan_never_becomes_a_label(every):
    column = np.array([[0.0, 1.0], [1.0, np.nan], [np.inf, 0.0]])
    with pytest.raises(RowsError) as caught:
        apply(every, {"a": column})
    assert caught.value.messages == {1: f"combine column 'out': {every.op} of 'a', which holds NaN"}


COLUMNS = {
    "f32": np.ones((2, 10), "float32"),
    "f64": np.ones((2, 10)),
    "nine": np.ones((2, 9), "float32"),
    "square": np.ones((2, 3, 3)),
    "scalar": np.ones(2),
    "empty": np.ones((2, 0)),
    "i64": np.ones(2, "int64"),
    "u64": np.ones(2, "uint64"),
    "words": np.array(["x", "y"], dtype=object),
    "date": np.zeros(2, "datetime64[s]"),
}


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            step("weighted_mean", ["f64", "f32", "nine"], weights=[1, 1, 1]),
            "weighted_mean needs columns of one shape, "
            "found 'f64' float64[10] and 'nine' float32[9]",
        ),
        (
            step("concat", ["f64", "square"]),
            "concat needs columns that agree in all axes but the last, "
            "found 'f64' float64[10] and 'square' float64[3, 3]",
        ),
        (
            step("concat", ["i64", "words"]),
            "concat cannot mix text and numbers, found 'i64' int64 and 'words' string",
        ),
        (
            step("vote", ["words", "i64"]),
            "vote cannot mix text and numbers, found 'words' string and 'i64' int64",
        ),
        (
            step("vote", ["f64"]),
            "vote needs labels (integers, text or booleans), found 'f64' float64[10]",
        ),
        (
            step("sum", ["i64", "u64"]),
            "sum needs one integer type that holds all values, found 'i64' int64 and 'u64' uint64",
        ),
        (step("max", "words"), "max needs numbers, found 'words' string"),
        (
            step("mean", "scalar"),
            "mean needs a column with an axis to work along, found 'scalar' float64",
        ),
        (step("min", "empty"), "min needs a last axis of at least 1, found 'empty' float64[0]"),
        (
            step("top_k", "nine", k=10),
            "top_k needs a last axis of at least 10, found 'nine' float32[9]",
        ),
        (step("lookup", "scalar", labels=["x"]), "lookup needs integers, found 'scalar' float64"),
        (step("sigmoid", "date"), "'date' has dtype datetime64[s], expected one of int8"),
    ],
    ids=lambda case: case.op if hasattr(case, "op") else "",
)
def test_refusal_names_the_columns_with_their_types(refused, message):
    with pytest.raises(ValueError) as caught:
        apply(refused, COLUMNS)
    assert str(caught.value).startswith(f"combine column 'out': {message}")


def test_lookup_rejects_only_the_rows_without_label():
    with pytest.raises(RowsError) as caught:
        apply(step("lookup", "a", labels=["zero", "one"]), {"a": np.array([1, -1, 0, 7])})
    assert caught.value.messages == {
        1: "combine column 'out': no label for -1 in 'a', expected 0 to 1",
        3: "combine column 'out': no label for 7 in 'a', expected 0 to 1",
    }


def test_lookup_without_its_file_read_says_so():
    with pytest.raises(ValueError, match=r"'out': the labels file 'l.txt' was not read"):
        apply(step("lookup", "a", file="l.txt"), {"a": np.array([1])})
