"""Each operation against a naive one, row by row, and what all of them have in common."""

import functools
import math
import statistics
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter

from pipeline.batch.columns import Ragged
from pipeline.ops.step import apply
from pipeline.spec.combine import AnyCombine

NUMBERS = ("int8", "int64", "uint8", "bool", "float16", "float32", "float64")
_STEP = TypeAdapter(AnyCombine)


def step(op, of, **parameters):
    return _STEP.validate_python({"column": "out", "op": op, "of": of, **parameters})


def compute(op, *columns, **parameters):
    """The column `out` of one step over columns a, b, c..."""
    names = [chr(ord("a") + i) for i in range(len(columns))]
    single = parameters.pop("single", op not in ("weighted_mean", "vote", "concat"))
    of = names[0] if single and len(columns) == 1 else names
    return apply(step(op, of, **parameters), dict(zip(names, columns, strict=True)))["out"]


def floats(shape=None, dtype="float64", bound=100.0):
    shape = shape or hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5)
    elements = st.floats(-bound, bound, width=np.dtype(dtype).itemsize * 8)
    return hnp.arrays(dtype, shape, elements=elements)


@st.composite
def several(draw, dtypes=("float64",), least=1):
    """Up to four columns of one shape, small values of one of the dtypes."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    elements = {"bool": st.booleans(), "object": st.sampled_from(["cat", "dog", "emu"])}
    array = hnp.arrays(dtype, shape, elements=elements.get(dtype, st.integers(0, 4)))
    return draw(st.lists(array, min_size=least, max_size=4))


def by_place(function, columns):
    """`function` of the list of values at each place."""
    shape = columns[0].shape
    values = [column.astype(object) for column in columns]  # Python's own numbers
    return np.array([function([v[i] for v in values]) for i in np.ndindex(shape)]).reshape(shape)


def by_row(function, column):
    """`function` of the list of values along the last axis."""
    rows = [function(column[i].tolist()) for i in np.ndindex(column.shape[:-1])]
    return np.array(rows).reshape(column.shape[:-1] + np.shape(rows[0]))


NAIVE = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "sum": sum,
    "min": min,
    "max": max,
    "product": math.prod,
}


@pytest.mark.parametrize("op", NAIVE)
@given(columns=several(dtypes=NUMBERS))
def test_reducing_columns_equals_the_naive_value_at_each_place(op, columns):
    expected = by_place(NAIVE[op], columns)
    np.testing.assert_allclose(compute(op, *columns, single=False), expected, rtol=1e-6)


@pytest.mark.parametrize("op", NAIVE)
@given(column=floats())
def test_reducing_one_column_equals_the_naive_value_of_each_last_axis(op, column):
    expected = by_row(NAIVE[op], column)
    np.testing.assert_allclose(compute(op, column), expected, rtol=1e-9, atol=1e-9)


@given(columns=several(least=2), data=st.data())
def test_mean_does_not_depend_on_the_order_of_the_columns(columns, data):
    shuffled = data.draw(st.permutations(columns))
    np.testing.assert_allclose(compute("mean", *columns), compute("mean", *shuffled), rtol=1e-12)


@given(columns=several(dtypes=("float64", "int64")), data=st.data())
def test_weighted_mean_equals_repeating_each_column_weight_times(columns, data):
    count = len(columns)
    weights = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    assume(any(weights))
    repeated = [c for c, weight in zip(columns, weights, strict=True) for _ in range(weight)]
    np.testing.assert_allclose(
        compute("weighted_mean", *columns, weights=weights),
        compute("mean", *repeated, single=False),
        rtol=1e-9,
    )


@given(columns=several(dtypes=("int64", "uint8", "bool", "object")), data=st.data())
def test_vote_equals_counting_the_weights_of_each_value(columns, data):
    weights = data.draw(st.none() | st.tuples(*[st.integers(1, 3)] * len(columns)))

    def most_votes(values):
        totals = {}
        for value, weight in zip(values, weights or [1] * len(values), strict=True):
            totals[value] = totals.get(value, 0) + weight
        return max(totals, key=totals.get)  # the first of equals, as in a dict by insertion

    result = compute("vote", *columns, weights=weights)
    np.testing.assert_array_equal(result, by_place(most_votes, columns))
    assert result.dtype == columns[0].dtype


def test_vote_on_text_gives_a_tie_to_the_column_named_first():
    cats = [np.array(words, dtype=object) for words in (["cat", "dog"], ["dog", "dog"])]
    assert compute("vote", *cats).tolist() == ["cat", "dog"]


def test_vote_weights_that_differ_by_rounding_only_are_a_tie():
    columns = [np.array([label]) for label in (1, 2, 2)]
    assert compute("vote", *columns, weights=[0.3, 0.1, 0.2]).tolist() == [1]


@given(column=floats())
def test_softmax_keeps_the_argmax_and_adds_up_to_one(column):
    column = np.round(column, 3)  # closer values may round to equal exponentials
    softmax = compute("softmax", column)
    np.testing.assert_allclose(softmax.sum(axis=-1), 1.0, rtol=1e-12)
    chosen = np.take_along_axis(softmax, compute("argmax", column)[..., None], axis=-1)
    np.testing.assert_array_equal(chosen[..., 0], softmax.max(axis=-1))


@given(column=floats(bound=20.0))
def test_softmax_and_sigmoid_equal_their_formulas(column):
    exponentials = np.exp(column)
    np.testing.assert_allclose(
        compute("softmax", column), exponentials / exponentials.sum(axis=-1, keepdims=True)
    )
    np.testing.assert_allclose(compute("sigmoid", column), 1 / (1 + np.exp(-column)))


def test_softmax_and_sigmoid_of_huge_values_are_exact_and_silent():
    huge = np.array([[-1e300, 0.0, 1e300], [-1e5, 1e5, 1e5]], dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        softmax, sigmoid = compute("softmax", huge), compute("sigmoid", huge)
    assert softmax.tolist() == [[0, 0, 1], [0, 0.5, 0.5]]
    assert sigmoid.tolist() == [[0, 0.5, 1], [0, 1, 1]]


@given(
    column=hnp.arrays("int8", st.tuples(st.integers(0, 4), st.integers(1, 6))), k=st.integers(1, 6)
)
def test_top_k_equals_sorting_by_value_then_position(column, k):
    assume(k <= column.shape[-1])
    top = apply(step("top_k", "a", k=k, scores="values"), {"a": column})
    for row, positions, scores in zip(column.tolist(), top["out"], top["values"], strict=True):
        expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        assert positions.tolist() == expected
        assert scores.tolist() == [row[i] for i in expected]


def test_argmax_of_equals_is_the_first():
    assert compute("argmax", np.array([[1, 3, 3], [2, 2, 2]])).tolist() == [1, 0]


def test_threshold_itself_counts_as_true_in_every_float_dtype():
    for dtype in ("float16", "float32", "float64"):
        values = np.array([0.1, np.nextafter(np.array(0.1, dtype), np.array(0, dtype))], dtype)
        assert compute("threshold", values, value=0.1).tolist() == [True, False]


@given(column=floats(), decimals=st.integers(-2, 4))
def test_round_moves_a_value_by_at_most_half_a_unit(column, decimals):
    rounded = compute("round", column, decimals=decimals)
    assert np.all(np.abs(rounded - column) <= 0.5 * 10.0**-decimals * (1 + 1e-9))


def test_round_neither_overflows_nor_loses_values():
    assert compute("round", np.array([127, -128], "int8"), decimals=-1).tolist() == [130, -130]
    large = np.array([1e300, 2.5])
    assert compute("round", large, decimals=20).tolist() == [1e300, 2.5]
    assert compute("round", large).tolist() == [1e300, 2.0]
    assert compute("round", large, decimals=2**40).tolist() == [1e300, 2.5]
    assert compute("round", np.array([5]), decimals=-400).tolist() == [0]


@given(data=st.data(), rows=st.integers(0, 3), middle=st.integers(1, 3))
def test_concat_equals_joining_lists(data, rows, middle):
    parts = data.draw(
        st.lists(
            st.integers(0, 3).flatmap(lambda n: hnp.arrays("int16", (rows, middle, n))),
            min_size=1,
            max_size=3,
        )
    )
    expected = [
        [[x for part in parts for x in part[r, m].tolist()] for m in range(middle)]
        for r in range(rows)
    ]
    assert compute("concat", *parts).tolist() == expected


def test_concat_takes_a_single_value_as_an_axis_of_one():
    texts = np.array([["b", "c"]], dtype=object)
    assert compute("concat", np.array(["a"], dtype=object), texts).tolist() == [["a", "b", "c"]]


def test_lookup_gives_labels_of_any_shape():
    labels = ["zero", "one"]
    assert compute("lookup", np.array([[0, 1], [1, 1]], "uint8"), labels=labels).tolist() == [
        ["zero", "one"],
        ["one", "one"],
    ]
    assert compute("lookup", np.array([True, False]), labels=labels).tolist() == ["one", "zero"]


FLOATING = {
    "int8": "float64",
    "uint8": "float64",
    "bool": "float64",
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
}
WIDENED = {"int8": "int64", "uint8": "uint64", "bool": "int64"}
KEPT = {dtype: dtype for dtype in FLOATING}


@pytest.mark.parametrize(
    ("call", "dtypes"),
    [
        (functools.partial(compute, "mean"), FLOATING),
        (functools.partial(compute, "median"), FLOATING),
        (functools.partial(compute, "softmax"), FLOATING),
        (functools.partial(compute, "sigmoid"), FLOATING),
        (functools.partial(compute, "weighted_mean", weights=[1]), FLOATING),
        (functools.partial(compute, "sum"), {**FLOATING, **WIDENED}),
        (functools.partial(compute, "product"), {**FLOATING, **WIDENED}),
        (functools.partial(compute, "min"), KEPT),
        (functools.partial(compute, "max"), KEPT),
        (functools.partial(compute, "round"), KEPT),
        (functools.partial(compute, "concat"), KEPT),
        (functools.partial(compute, "vote"), {d: d for d in ("int8", "uint8", "bool")}),
        (functools.partial(compute, "argmax"), dict.fromkeys(FLOATING, "int64")),
        (functools.partial(compute, "top_k", k=1), dict.fromkeys(FLOATING, "int64")),
        (functools.partial(compute, "threshold", value=0.5), dict.fromkeys(FLOATING, "bool")),
    ],
)
def test_dtype_of_the_result(call, dtypes):
    found = {dtype: call(np.ones((2, 3), dtype)).dtype.name for dtype in dtypes}
    assert found == dtypes


def test_columns_of_different_dtypes_meet_in_their_common_one():
    mixed = np.array([[1.0]], "float32"), np.array([[2.0]], "float64")
    assert compute("sum", *mixed).dtype == np.float64
    narrow = np.array([100], "int8"), np.array([200], "uint8")
    assert compute("max", *narrow).tolist() == [200]
    assert compute("sum", np.array([100, 100], "int8")[None]).tolist() == [200]


EVERY_OP = [
    step("mean", ["a", "b"]),
    step("sum", "a"),
    step("min", "a"),
    step("max", ["b", "a"]),
    step("median", "a"),
    step("product", ["a"]),
    step("weighted_mean", ["a", "b"], weights=[1, 3]),
    step("vote", ["i", "i"], weights=[1, 2]),
    step("argmax", "a"),
    step("softmax", "a"),
    step("sigmoid", "a"),
    step("top_k", "a", k=2, scores="values"),
    step("threshold", "a", value=0.5),
    step("round", "a", decimals=1),
    step("concat", ["a", "b", "i"]),
    step("lookup", "i", labels=["zero", "one"]),
]


@pytest.mark.parametrize("every", EVERY_OP, ids=lambda every: every.op)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_every_op_keeps_the_rows_and_changes_no_input(every, rows):
    columns = {
        "a": np.linspace(-1, 1, rows * 3, dtype="float32").reshape(rows, 3),
        "b": np.ones((rows, 3)),
        "i": np.arange(rows) % 2,
    }
    before = {name: column.copy() for name, column in columns.items()}
    for column in columns.values():
        column.flags.writeable = False
    results = apply(every, columns)
    assert list(results) == every.columns_written()
    assert {len(column) for column in results.values()} == {rows}
    for name, column in columns.items():
        np.testing.assert_array_equal(column, before[name])


@pytest.mark.parametrize("every", EVERY_OP, ids=lambda every: every.op)
@given(lengths=st.lists(st.integers(2, 4), max_size=6))
def test_every_op_computes_ragged_rows_as_if_each_came_alone(every, lengths):
    rows = [np.linspace(-1, 1, n, dtype="float32") for n in lengths]
    columns = {
        "a": Ragged(rows),
        "b": Ragged(row * 2 for row in rows),
        "i": np.ones(len(rows), int),
    }
    results = apply(every, columns)
    for i, row in enumerate(rows):
        alone = apply(every, {"a": row[None], "b": row[None] * 2, "i": np.ones(1, int)})
        for name, column in results.items():
            got = column.rows[i] if isinstance(column, Ragged) else column[i]
            np.testing.assert_array_equal(got, alone[name][0])
    assert {len(column) for column in results.values()} == {len(rows)}


def test_sum_and_product_of_an_empty_axis_are_neutral():
    assert compute("sum", np.ones((2, 0))).tolist() == [0, 0]
    assert compute("product", np.ones((2, 0))).tolist() == [1, 1]
