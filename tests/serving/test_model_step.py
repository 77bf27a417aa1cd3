"""One model over a batch: rows saved, faults named, memory halved, ragged rows fed as needed."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core import columns
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


def pieces(inputs):
    """As many ones as the row says."""
    return {"y": Ragged([np.ones(int(n), "f4") for n in inputs["x"]])}


def test_outputs_of_different_length_become_a_ragged_column():
    done = ModelStep(spec(), max_batch_size=3).run(
        batch(np.array([2, 0, 1, 1])), FakeServable(pieces)
    )
    assert isinstance(done.columns["twice"], Ragged)
    assert [len(row) for row in done.columns["twice"].rows] == [2, 0, 1, 1]


def test_computed_column_is_ragged_also_where_its_rows_agree():
    step, rows = ModelStep(spec()), np.arange(2)
    found = step.compute({"x": np.array([2, 2])}, rows, FakeServable(pieces))["y"]
    assert isinstance(found, Ragged)
    found = step.compute(
        {"x": Ragged([np.array([2]), np.array([2, 2])])}, rows, FakeServable(pieces_of)
    )
    assert isinstance(found["y"], Ragged)


def pieces_of(inputs):
    return {"y": Ragged([np.ones(3, "f4") for _ in inputs["x"]])}


def test_ragged_outputs_of_calls_with_a_fixed_number_of_rows_are_those_of_the_rows():
    signature = Signature(fixed_batch_rows=4)
    done = ModelStep(spec()).run(
        batch(np.array([2, 0, 1, 3, 1, 5])), FakeServable(pieces, signature)
    )
    assert [len(row) for row in done.columns["twice"].rows] == [2, 0, 1, 3, 1, 5]


def test_list_with_another_number_of_rows_is_a_model_fault_that_names_the_way_out():
    servable = FakeServable(lambda inputs: {"y": Ragged([np.zeros(2)] * 3)})
    done = ModelStep(spec()).run(batch(np.arange(8)), servable)
    assert {r.error_type for r in done.rejects} == {"model_fault"}
    reason = done.rejects[0].error_message
    assert "output 'y' is a list of 3 for" in reason
    assert "or a list with one tensor for each row" in reason


def test_rows_of_different_rank_are_no_column():
    mixed = FakeServable(lambda inputs: {"y": Ragged([np.zeros(2), np.zeros((1, 2))])})
    with pytest.raises(ModelFaultError, match="rows of different rank or dtype"):
        ModelStep(spec()).compute({"x": np.arange(2)}, np.arange(2), mixed)


def declares(dtype):
    return Signature(inputs=(TensorSpec("x", dtype),))


def test_rows_whose_numbers_the_tensor_cannot_hold_cost_themselves_only():
    column = np.array([1, 2**24 + 1, 3, 2**24 + 3])
    servable = FakeServable(twice, declares("float32"))
    done = ModelStep(spec()).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [2, 6]
    assert [(r.record_id, r.error_type, r.stage, r.model) for r in done.rejects] == [
        (1, "cast_error", "inference", "m"),
        (3, "cast_error", "inference", "m"),
    ]
    assert done.rejects[0].error_message == (
        "model 'm' input 'x': found 16777217 in column 'x', expected what float32 can hold"
    )
    assert servable.calls == [2]


def test_batch_of_which_the_tensor_can_hold_no_row_makes_no_call():
    servable = FakeServable(twice, declares("float16"))
    done = ModelStep(spec(), max_model_faults=1).run(batch(np.array([1e6, -1e6])), servable)
    assert len(done.rejects) == 2
    assert servable.calls == []


def test_text_that_is_none_costs_its_row_only():
    column = np.array([b"plain", b"\xff", "ü".encode(), b"//4="], dtype=object)
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec()).run(batch(column), servable)
    assert done.columns["twice"].tolist() == ["plain", "ü", "//4="]
    assert [(r.record_id, r.error_type) for r in done.rejects] == [(1, "not_text")]
    assert "0xff at position 0" in done.rejects[0].error_message
    assert "`bytes_outputs`" in done.rejects[0].error_message
    assert servable.calls == [4]


def test_bytes_stay_bytes_in_every_row_whatever_the_backend_could_decode():
    column = np.array(["plain", b"\xff", "ü"], dtype=object)
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec(bytes_outputs=["y"])).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [b"plain", b"\xff", "ü".encode()]
    assert done.rejects == ()


def test_lists_of_text_are_text_in_every_row():
    rows = [np.array(["a", b"\xff"], object), np.array([], object), np.array([b"b"], object)]
    servable = FakeServable(lambda inputs: {"y": Ragged(rows)})
    done = ModelStep(spec()).run(batch(np.arange(3)), servable)
    assert [row.tolist() for row in columns.iterate(done.columns["twice"])] == [[], ["b"]]
    assert [r.record_id for r in done.rejects] == [0]
