"""One model over a batch: rows saved, faults named, memory halved, ragged rows fed as needed."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core.batch import Batch
from pipeline.core.columns import Ragged
from pipeline.core.model_spec import OnnxModel
from pipeline.core.tensors import Signature, TensorSpec
from pipeline.errors import ModelFaultError
from pipeline.serving import model_step
from pipeline.serving.model_step import ModelStep
from pipeline.testing import FakeServable


def spec(inputs=None, **changes):
    return OnnxModel.model_validate(
        {
            "name": "m",
            "framework": "onnx",
            "uri": "m",
            "inputs": inputs or {"x": "x"},
            "outputs": {"y": "twice"},
            **changes,
        }
    )


def batch(column):
    n = len(column)
    return Batch(
        ids=tuple(range(n)), payloads=tuple(b"%d" % i for i in range(n)), columns={"x": column}
    )


def twice(inputs):
    return {"y": inputs["x"] * 2}


def failing_on_negative(inputs):
    if (inputs["x"] < 0).any():
        raise ValueError("negative")
    return twice(inputs)


def test_outputs_become_columns():
    done = ModelStep(spec()).run(batch(np.arange(5)), FakeServable(twice))
    assert done.columns["twice"].tolist() == [0, 2, 4, 6, 8]


def test_row_that_makes_the_model_raise_is_isolated_and_the_rest_predicted():
    column = np.arange(100)
    column[[7, 60]] = -1
    done = ModelStep(spec()).run(batch(column), FakeServable(failing_on_negative))
    assert [reject.record_id for reject in done.rejects] == [7, 60]
    assert {(r.stage, r.model, r.error_type) for r in done.rejects} == {
        ("inference", "m", "model_error")
    }
    assert done.rejects[0].error_message == "model 'm' fails on this row: ValueError: negative"
    assert done.columns["twice"].tolist() == [2 * v for v in column if v >= 0]


def test_model_that_fails_on_every_row_is_named_as_the_fault():
    done = ModelStep(spec()).run(batch(np.full(300, -1)), FakeServable(failing_on_negative))
    assert len(done) == 0
    assert {r.error_type for r in done.rejects} == {"model_fault"}
    assert "model 'm' fails on every row: ValueError: negative" in done.rejects[0].error_message
    assert len(done.rejects) == 300


def test_job_fails_after_max_model_faults_in_a_row():
    step = ModelStep(spec(), max_model_faults=3)
    servable = FakeServable(failing_on_negative)
    bad, good = batch(np.full(4, -1)), batch(np.arange(4))
    for one in (bad, bad, good, bad, bad):
        step.run(one, servable)
    with pytest.raises(
        ModelFaultError, match="model 'm' failed on every row of 3 batches in a row"
    ):
        step.run(bad, servable)


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    servable = FakeServable(twice, fits_rows=10)
    done = ModelStep(spec()).run(batch(np.arange(64)), servable)
    assert done.columns["twice"].tolist() == [2 * i for i in range(64)]
    assert done.rejects == ()
    assert servable.calls == [64, 32, 16] + [8] * 8


def test_later_batches_begin_with_what_fitted_and_grow_again():
    servable, step = FakeServable(twice, fits_rows=10), ModelStep(spec(), max_batch_size=64)
    step.run(batch(np.arange(64)), servable)
    servable.calls.clear()
    for _ in range(3):
        done = step.run(batch(np.arange(20)), servable)
        assert done.columns["twice"].tolist() == [2 * i for i in range(20)]
    assert servable.calls == [8, 8, 4, 9, 9, 2, 10, 10]


def test_row_that_never_fits_becomes_a_reject_that_says_so():
    done = ModelStep(spec()).run(batch(np.arange(2)), FakeServable(twice, fits_rows=0))
    assert {r.error_type for r in done.rejects} == {"out_of_memory"}


def test_output_with_another_number_of_rows_is_a_model_fault():
    servable = FakeServable(lambda inputs: {"y": np.zeros(3)})
    done = ModelStep(spec()).run(batch(np.arange(8)), servable)
    assert {r.error_type for r in done.rejects} == {"model_fault"}
    assert "expected the rows as first axis" in done.rejects[0].error_message


@pytest.fixture
def timed(monkeypatch):
    """Makes servables whose calls take so many milliseconds a row, by a clock of their own."""
    now = [0.0]
    monkeypatch.setattr(model_step, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def make(ms_a_row, function=twice, **settings):
        def called(inputs):
            now[0] += ms_a_row / 1000 * len(inputs["x"])
            return function(inputs)

        return FakeServable(called, **settings)

    return make


def test_model_that_is_quick_gets_larger_calls(timed):
    servable, step = timed(0.1), ModelStep(spec(), max_batch_size=4, quick_batch_size=15)
    for _ in range(4):
        done = step.run(batch(np.arange(20)), servable)
        assert done.columns["twice"].tolist() == [2 * i for i in range(20)]
    assert servable.calls == [4] * 5 + [8, 8, 4] + [15, 5] * 2


def test_model_that_takes_its_time_keeps_its_calls_whatever_the_last_one_has(timed):
    servable, step = timed(3), ModelStep(spec(), max_batch_size=4, quick_batch_size=16)
    for _ in range(3):
        step.run(batch(np.arange(9)), servable)
    assert servable.calls == [4, 4, 1] * 3


def test_calls_that_fail_do_not_make_a_model_quick(timed):
    servable = timed(0.1, failing_on_negative)
    step = ModelStep(spec(), max_batch_size=4, quick_batch_size=16)
    for _ in range(2):
        step.run(batch(np.array([1, 2, 3, 4, -1, 6, 7, 8])), servable)
    assert max(servable.calls) == 4


def test_larger_calls_end_where_the_entry_or_what_is_prepared_ends(timed):
    own, prepared = timed(0.1), timed(0.1)
    prepared.prepared_rows = 4
    step = ModelStep(spec(max_batch_size=4), max_batch_size=4, quick_batch_size=16)
    other = ModelStep(spec(), max_batch_size=4, quick_batch_size=16)
    for _ in range(2):
        step.run(batch(np.arange(8)), own)
        other.run(batch(np.arange(8)), prepared)
    assert own.calls == prepared.calls == [4, 4] * 2


def test_larger_call_that_does_not_fit_is_halved_like_any_other(timed):
    servable = timed(0.1, fits_rows=6)
    step = ModelStep(spec(), max_batch_size=4, quick_batch_size=16)
    for _ in range(2):
        done = step.run(batch(np.arange(16)), servable)
        assert done.columns["twice"].tolist() == [2 * i for i in range(16)]
    assert servable.calls == [4] * 4 + [8] + [4] * 4


@pytest.mark.parametrize("rows", [1024, 4096])
def test_few_bad_rows_of_a_large_batch_cost_no_other(rows):
    column = np.arange(4096)
    column[[7, 1500, 2800, 4000]] = -1
    step = ModelStep(spec(), max_batch_size=rows)
    done = step.run(batch(column), FakeServable(failing_on_negative))
    assert [reject.record_id for reject in done.rejects] == [7, 1500, 2800, 4000]
    assert {reject.error_type for reject in done.rejects} == {"model_error"}


def test_own_max_batch_size_goes_before_the_parameter():
    servable = FakeServable(twice)
    ModelStep(spec(max_batch_size=4), max_batch_size=8).run(batch(np.arange(10)), servable)
    assert servable.calls == [4, 4, 2]


def test_fixed_batch_size_is_filled_up_and_cut_off():
    servable = FakeServable(twice, Signature(fixed_batch_rows=4))
    done = ModelStep(spec()).run(batch(np.arange(10)), servable)
    assert servable.calls == [4, 4, 4]
    assert done.columns["twice"].tolist() == [2 * i for i in range(10)]


def test_column_is_cast_to_the_declared_dtype():
    seen = []
    servable = FakeServable(
        lambda inputs: seen.append(inputs["x"].dtype) or twice(inputs),
        Signature(inputs=(TensorSpec("x", "float32", (None,)),)),
    )
    ModelStep(spec()).run(batch(np.arange(3, dtype=np.float64)), servable)
    assert seen == [np.float32]


def test_constant_input_comes_without_batch_axis():
    step = ModelStep(spec({"x": "x", "k": {"value": 3, "dtype": "int64"}}))
    done = step.run(batch(np.arange(4)), FakeServable(lambda i: {"y": i["x"] * i["k"]}))
    assert done.columns["twice"].tolist() == [0, 3, 6, 9]


RAGGED = Ragged([np.array([1, 2]), np.array([3]), np.array([4, 5])])


def test_rows_of_different_length_are_grouped_and_come_back_in_order():
    servable = FakeServable(lambda inputs: {"y": inputs["x"].sum(axis=1)})
    done = ModelStep(spec()).run(batch(RAGGED), servable)
    assert servable.calls == [2, 1]
    assert done.columns["twice"].tolist() == [3, 3, 9]


def test_rows_of_different_length_are_padded_when_the_model_asks_for_it():
    seen = []
    step = ModelStep(spec({"x": {"column": "x", "pad_value": 0}}))
    servable = FakeServable(lambda i: seen.append(i["x"].tolist()) or {"y": i["x"].sum(axis=1)})
    assert step.run(batch(RAGGED), servable).columns["twice"].tolist() == [3, 3, 9]
    assert seen == [[[1, 2], [3, 0], [4, 5]]]
