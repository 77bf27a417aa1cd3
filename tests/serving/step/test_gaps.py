"""What a model gets where rows lack values: NaN and None, the same for a row in any company."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Masked, Ragged
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.serving.step.gaps import filled
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import XgboostModel
from pipeline.testing import FakeServable

HALF = np.array([True, False])


@pytest.mark.parametrize(
    ("values", "declared", "dtype"),
    [
        (np.array([1, 2], np.int8), None, "float64"),
        (np.array([1, 2], np.int64), "float32", "float32"),
        (np.array([1, 2], np.float32), None, "float32"),
        (np.array([1, 2], np.float32), "float64", "float64"),
        (np.array([True, True]), "float32", "float32"),
    ],
    ids=lambda value: getattr(value, "dtype", value),
)
def test_numbers_are_nan(values, declared, dtype):
    made = filled(Masked(values, HALF), declared)
    assert made.dtype == dtype
    assert made[0] == values[0]
    assert np.isnan(made[1])


@pytest.mark.parametrize("values", [np.array(["a", "b"], object), np.array([True, False])])
def test_text_and_booleans_are_none(values):
    assert filled(Masked(values, HALF), None).tolist() == [values[0], None]


def test_a_dtype_does_not_depend_on_whether_a_value_is_missing():
    complete = Masked(np.array([1, 2]), np.array([True, True]))
    assert filled(complete, None).dtype == filled(Masked(np.array([1, 2]), HALF), None).dtype


def test_an_input_that_has_nothing_for_missing_is_never_given_a_number():
    with pytest.raises(ValueError, match="for which int64 has none"):
        filled(Masked(np.array([1, 2]), HALF), "int64")
    with pytest.raises(ValueError, match="variable length"):
        filled(Masked(Ragged([np.zeros(1), np.zeros(2)]), HALF), None)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3))), st.data())
def test_exactly_the_missing_rows_are_nan(values, data):
    values = np.nan_to_num(values)
    present = data.draw(hnp.arrays(bool, len(values)))
    before = values.copy()
    made = filled(Masked(values, present), None)
    assert np.array_equal(np.isnan(made).all(axis=1), ~present)
    assert np.array_equal(made[present], before[present])
    assert np.array_equal(values, before)


def step():
    return ModelStep(
        XgboostModel.model_validate(
            {
                "name": "m",
                "framework": "xgboost",
                "uri": "m",
                "inputs": {"x": "x"},
                "outputs": {"y": "twice"},
            }
        )
    )


def run(column, function, dtype=None):
    servable = FakeServable(function)
    servable.signature = Signature(inputs=(TensorSpec("x", dtype, (None,)),))
    n = len(column)
    batch = Batch(ids=tuple(range(n)), payloads=(b"",) * n, columns={"x": column})
    return step().run(batch, servable)


def test_a_row_that_lacks_a_value_is_predicted_beside_one_that_fails():
    def function(inputs):
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": np.nan_to_num(inputs["x"], nan=100.0)}

    column = Masked(np.array([1.0, 0.0, -1.0, 3.0]), np.array([True, False, True, True]))
    done = run(column, function)
    assert [reject.record_id for reject in done.rejects] == [2]
    assert done.columns["twice"].tolist() == [1.0, 100.0, 3.0]
    assert done.columns["x"].present.tolist() == [True, False, True]


def test_an_integer_that_the_float_cannot_hold_costs_its_row_only():
    column = Masked(np.array([2**24 + 1, 0, 5]), np.array([True, False, True]))
    done = run(column, lambda inputs: {"y": inputs["x"]}, "float32")
    assert [reject.error_type for reject in done.rejects] == ["cast_error"]
    assert np.array_equal(done.columns["twice"], [np.nan, 5], equal_nan=True)


def test_an_integer_is_not_rounded_where_the_model_declares_no_dtype():
    column = Masked(np.array([2**53 + 1, 5]), np.array([True, True]))
    done = run(column, lambda inputs: {"y": inputs["x"]})
    assert [reject.record_id for reject in done.rejects] == [0]
