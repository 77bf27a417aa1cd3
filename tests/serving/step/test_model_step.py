"""One model over a batch: rows saved, faults named, memory halved, ragged rows fed as needed."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.batch import columns
from pipeline.batch.batch import Batch
from pipeline.batch.categorical import categorical
from pipeline.batch.columns import Ragged
from pipeline.batch.tensors import Signature, TensorSpec
from pipeline.errors import ModelFaultError, OutOfMemoryError
from pipeline.serving.step import model_step
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import OnnxModel
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


@pytest.mark.parametrize("values", [np.arange(3), np.array(["a", "b", "c"], dtype=object)])
def test_single_values_fit_a_tensor_with_an_axis_of_one(values):
    seen = []

    def look(inputs):
        seen.append(inputs["x"].shape)
        return {"y": inputs["x"]}

    servable = FakeServable(look)
    servable.signature = Signature(inputs=(TensorSpec("x", None, (None, 1)),))
    done = ModelStep(spec()).run(batch(values), servable)
    assert done.columns["twice"].tolist() == [[value] for value in values]
    assert all(shape[1:] == (1,) for shape in seen)


def test_model_gets_categories_as_a_plain_array():
    kinds = []

    def look(inputs):
        kinds.append(type(inputs["x"]))
        return {"y": inputs["x"]}

    column = categorical(np.array(["a", "b"], dtype=object), np.array([1, 0, 1]))
    done = ModelStep(spec()).run(batch(column), FakeServable(look))
    assert done.columns["twice"].tolist() == ["b", "a", "b"]
    assert set(kinds) == {np.ndarray}


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


class Breaking:
    """Fails on negative rows, and on all while it is broken."""

    broken = False

    def __call__(self, inputs):
        if self.broken:
            raise RuntimeError("broken")
        return failing_on_negative(inputs)


GOOD, BAD = np.arange(4), np.full(4, -1)


def run_often(step, servable, one, times):
    for _ in range(times):
        step.run(one, servable)


def test_job_fails_when_a_model_that_worked_fails_max_model_faults_in_a_row():
    model = Breaking()
    step, servable = ModelStep(spec(), max_model_faults=3), FakeServable(model)
    for broken in (False, True, True, False, True, True):
        model.broken = broken
        done = step.run(batch(GOOD), servable)
        assert {r.error_type for r in done.rejects} == ({"model_fault"} if broken else set())
    with pytest.raises(
        ModelFaultError, match="model 'm' failed on every row of 3 batches in a row"
    ):
        step.run(batch(GOOD), servable)


def test_model_that_breaks_where_a_job_must_not_fail_is_told_once_and_its_rows_are_dead_letters(
    caplog,
):
    model = Breaking()
    step = ModelStep(spec(), max_model_faults=3, faults_raise=False)
    servable = FakeServable(model)
    step.run(batch(GOOD), servable)
    for _ in range(2):
        model.broken = True
        for _ in range(10):
            done = step.run(batch(GOOD), servable)
            assert [r.error_type for r in done.rejects] == ["model_fault"] * len(GOOD)
        model.broken = False
        assert not step.run(batch(GOOD), servable).rejects
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2, "each time it breaks"
    assert "model 'm' failed on every row of 3 batches in a row" in errors[0].getMessage()


def test_bad_rows_never_count_against_a_model_that_worked():
    step, servable = ModelStep(spec(), max_model_faults=1), FakeServable(failing_on_negative)
    step.run(batch(GOOD), servable)
    for _ in range(40):
        done = step.run(batch(BAD), servable)
        assert {r.error_type for r in done.rejects} == {"model_error"}


def test_lone_bad_records_never_end_a_stream_but_a_model_that_broke_does():
    model = Breaking()
    step, servable = ModelStep(spec(), max_model_faults=10), FakeServable(model)
    for value in [-1] * 10 + [1] + [-1] * 500:
        (reject,) = step.run(batch(np.array([value])), servable).rejects or (None,)
        assert reject is None if value > 0 else reject.error_type == "model_error"
    model.broken = True
    with pytest.raises(
        ModelFaultError, match="of 10 batches in a row; the last error: RuntimeError broken"
    ):
        run_often(step, servable, batch(np.array([1])), 100)


def test_bad_records_never_end_a_job_that_begins_with_them_where_the_rehearsal_computed_a_row():
    step, servable = ModelStep(spec(), max_model_faults=1), FakeServable(failing_on_negative)
    servable.sound_row = {"x": np.array([1])}
    for _ in range(100):
        (reject,) = step.run(batch(np.array([-1])), servable).rejects
        assert reject.error_type == "model_error"


def test_lone_bad_records_cost_few_calls_beyond_their_own():
    step, servable = ModelStep(spec()), FakeServable(failing_on_negative)
    for i in range(2000):
        step.run(batch(np.array([i if i % 3 == 0 else -1])), servable)
    assert len(servable.calls) <= 1.05 * 2000 + 64


def test_version_that_never_worked_is_measured_by_a_row_of_the_one_before():
    step = ModelStep(spec(), max_model_faults=2)
    step.run(batch(np.array([1])), FakeServable(failing_on_negative))
    new = Breaking()
    new.broken, servable = True, FakeServable(new)
    (reject,) = step.run(batch(np.array([1])), servable).rejects
    assert reject.error_type == "model_fault"
    with pytest.raises(ModelFaultError):
        step.run(batch(np.array([1])), servable)


def test_model_that_never_worked_is_at_fault_once_enough_rows_have_failed():
    step, servable = ModelStep(spec(), max_model_faults=3), FakeServable(failing_on_negative)
    kinds = []
    for _ in range(5):
        kinds += {reject.error_type for reject in step.run(batch(BAD), servable).rejects}
    assert kinds == ["model_error"] * 3 + ["model_fault"] * 2
    with pytest.raises(ModelFaultError, match="of 3 batches in a row"):
        step.run(batch(BAD), servable)


def test_broken_model_is_not_tried_with_every_row_of_every_batch():
    worked, never = Breaking(), Breaking()
    never.broken = True
    for model in (worked, never):
        step, servable = ModelStep(spec(), call_rows=1024), FakeServable(model)
        step.run(batch(np.arange(1024)), servable)
        model.broken = True
        for _ in range(9):
            step.run(batch(np.arange(1024)), servable)
        assert len(servable.calls) < 6000


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("rows", [1, 8, 64, 1024, 4096])
def test_at_any_share_exactly_the_bad_rows_are_rejected_also_in_the_first_batch(share, rows):
    rng = np.random.default_rng(int(share * 1000) + rows)
    step, servable = ModelStep(spec(), call_rows=rows), FakeServable(failing_on_negative)
    column = np.where(rng.random(8192) < share, -1, np.arange(8192))
    rejected, kept = [], []
    for start in range(0, 8192, max(64, rows)):
        part = np.arange(start, min(start + max(64, rows), 8192))
        done = step.run(batch(column[part]), servable)
        rejected += [part[reject.record_id] for reject in done.rejects]
        kept += done.columns["twice"].tolist() if len(done) else []
    assert rejected == np.flatnonzero(column < 0).tolist()
    assert kept == (2 * column[column >= 0]).tolist()


def test_out_of_memory_of_every_row_is_told_as_such_and_counts_against_the_model():
    step = ModelStep(spec(), max_model_faults=2)
    servable = FakeServable(twice, fits_rows=0)
    done = step.run(batch(np.arange(16)), servable)
    assert {r.error_type for r in done.rejects} == {"out_of_memory"}
    with pytest.raises(ModelFaultError):
        step.run(batch(np.arange(16)), servable)


def one_row_at_a_time(inputs):
    """As a network that was traced with one row."""
    return {"y": inputs["x"].reshape(1, 2).sum(axis=1)}


def test_model_that_takes_one_row_at_a_time_loses_none_and_says_it_once(caplog):
    column = np.arange(128).reshape(64, 2)
    servable = FakeServable(one_row_at_a_time)
    for step in (ModelStep(spec()), ModelStep(spec())):
        for _ in range(2):
            servable.calls.clear()
            done = step.run(batch(column), servable)
            assert done.columns["twice"].tolist() == column.sum(axis=1).tolist()
            assert done.rejects == ()
        assert servable.calls == [1] * 64
    (said,) = caplog.records
    assert "its calls have at most 1 from now on" in said.getMessage()


def test_model_that_takes_some_rows_only_is_called_with_so_many():
    def few(inputs):
        if len(inputs["x"]) > 20:
            raise ValueError("the profile ends at 20")
        return twice(inputs)

    step, servable = ModelStep(spec(), call_rows=256), FakeServable(few)
    for _ in range(2):
        servable.calls.clear()
        done = step.run(batch(np.arange(256)), servable)
        assert done.columns["twice"].tolist() == [2 * i for i in range(256)]
    assert servable.calls == [16] * 16


def test_new_version_is_not_limited_by_what_the_old_one_took():
    step = ModelStep(spec())
    column = np.ones((8, 2))
    step.run(batch(column), FakeServable(one_row_at_a_time))
    new = FakeServable(lambda inputs: {"y": inputs["x"].sum(axis=1)})
    assert step.run(batch(column), new).columns["twice"].tolist() == [2] * 8
    assert new.calls == [8]


@pytest.mark.parametrize("rows", [4, 6, 7, 12, 100])
@pytest.mark.parametrize("bad", [(), (0,), (2, 3)])
def test_numbers_that_a_piece_gets_by_accident_of_its_size_are_not_taken(rows, bad):
    """A factor for each record that the model has on the wrong axis: three rows fit it as one."""
    rng = np.random.default_rng(0)
    column = np.column_stack([rng.random((rows, 3)), np.arange(rows)])
    column[list(bad), 3] = -1

    def scaled(inputs):
        x, factor = inputs["x"][:, :3], inputs["x"][:, 3]
        if (factor < 0).any():
            raise ValueError("negative")
        return {"y": x * factor}

    done = ModelStep(spec()).run(batch(column), FakeServable(scaled))
    good = column[column[:, 3] >= 0]
    assert [reject.record_id for reject in done.rejects] == list(bad)
    np.testing.assert_allclose(done.columns["twice"], good[:, :3] * good[:, 3:])


def test_rows_that_may_depend_on_each_other_are_compared_with_nothing():
    calls = []
    for independent in (True, False):
        servable = FakeServable(failing_on_negative)
        column = np.arange(64)
        column[5] = -1
        ModelStep(spec(independent_rows=independent)).run(batch(column), servable)
        calls.append(len(servable.calls))
    assert calls[0] == calls[1] + 1


def test_comparison_for_which_memory_is_short_costs_no_call_a_row():
    column = np.arange(64)
    column[50] = -1

    def short(inputs):
        if len(inputs["x"]) == 1 and inputs["x"][0] == 0:
            raise OutOfMemoryError("the first row is compared")
        return failing_on_negative(inputs)

    servable = FakeServable(short)
    done = ModelStep(spec()).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [2 * v for v in column if v >= 0]
    assert [reject.record_id for reject in done.rejects] == [50]
    assert len(servable.calls) < 32


@pytest.mark.parametrize(("flipped", "believed"), [(1, True), (2, False)])
def test_labels_of_rows_together_are_believed_unless_two_differ_alone(flipped, believed):
    """Of the first rows some have another label alone, as a tie may flip one."""
    column = np.arange(64)
    column[50] = -1

    def label(inputs):
        x = failing_on_negative(inputs)["y"]
        return {"y": x + (1 if len(x) == 1 and inputs["x"][0] < flipped else 0)}

    servable = FakeServable(label)
    done = ModelStep(spec()).run(batch(column), servable)
    alone = [2 * v + (v < flipped) for v in column if v >= 0]
    together = [2 * v for v in column if v >= 0]
    assert done.columns["twice"].tolist() == (together if believed else alone)


def test_step_of_a_job_can_be_sent_to_a_worker():
    pickle.loads(pickle.dumps(ModelStep(spec()))).run(batch(GOOD), FakeServable(twice))


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    servable = FakeServable(twice, fits_rows=10)
    done = ModelStep(spec()).run(batch(np.arange(64)), servable)
    assert done.columns["twice"].tolist() == [2 * i for i in range(64)]
    assert done.rejects == ()
    assert servable.calls == [64, 32, 16] + [8] * 8


def test_later_batches_begin_with_what_fitted_and_grow_again():
    servable, step = FakeServable(twice, fits_rows=10), ModelStep(spec(), call_rows=64)
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
    servable, step = timed(0.1), ModelStep(spec(), call_rows=4, quick_rows=15)
    for _ in range(4):
        done = step.run(batch(np.arange(20)), servable)
        assert done.columns["twice"].tolist() == [2 * i for i in range(20)]
    assert servable.calls == [4] * 5 + [8, 8, 4] + [15, 5] * 2


def test_model_that_takes_its_time_keeps_its_calls_whatever_the_last_one_has(timed):
    servable, step = timed(3), ModelStep(spec(), call_rows=4, quick_rows=16)
    for _ in range(3):
        step.run(batch(np.arange(9)), servable)
    assert servable.calls == [4, 4, 1] * 3


def test_calls_that_fail_do_not_make_a_model_quick(timed):
    servable = timed(0.1, failing_on_negative)
    step = ModelStep(spec(), call_rows=4, quick_rows=16)
    for _ in range(2):
        step.run(batch(np.array([1, 2, 3, 4, -1, 6, 7, 8])), servable)
    assert max(servable.calls) == 4


def test_larger_calls_end_where_the_entry_or_what_is_prepared_ends(timed):
    own, prepared = timed(0.1), timed(0.1)
    prepared.prepared_rows = 4
    step = ModelStep(spec(max_batch_size=4), call_rows=4, quick_rows=16)
    other = ModelStep(spec(), call_rows=4, quick_rows=16)
    for _ in range(2):
        step.run(batch(np.arange(8)), own)
        other.run(batch(np.arange(8)), prepared)
    assert own.calls == prepared.calls == [4, 4] * 2


def test_larger_call_that_does_not_fit_is_halved_like_any_other(timed):
    servable = timed(0.1, fits_rows=6)
    step = ModelStep(spec(), call_rows=4, quick_rows=16)
    for _ in range(2):
        done = step.run(batch(np.arange(16)), servable)
        assert done.columns["twice"].tolist() == [2 * i for i in range(16)]
    assert servable.calls == [4] * 4 + [8] + [4] * 4


@pytest.mark.parametrize("rows", [1024, 4096])
def test_few_bad_rows_of_a_large_batch_cost_no_other(rows):
    column = np.arange(4096)
    column[[7, 1500, 2800, 4000]] = -1
    step = ModelStep(spec(), call_rows=rows)
    done = step.run(batch(column), FakeServable(failing_on_negative))
    assert [reject.record_id for reject in done.rejects] == [7, 1500, 2800, 4000]
    assert {reject.error_type for reject in done.rejects} == {"model_error"}


def test_own_max_batch_size_goes_before_the_parameter():
    servable = FakeServable(twice)
    ModelStep(spec(max_batch_size=4), call_rows=8).run(batch(np.arange(10)), servable)
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
    done = ModelStep(spec(), call_rows=3).run(batch(np.array([2, 0, 1, 1])), FakeServable(pieces))
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
    several = FakeServable(pieces, Signature(fixed_batch_rows=1))
    assert isinstance(step.compute({"x": np.array([2, 2])}, rows, several)["y"], Ragged)


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


def test_empty_list_is_a_model_fault_that_names_the_way_out():
    empty = FakeServable(lambda inputs: {"y": Ragged([])})
    with pytest.raises(ModelFaultError, match="output 'y' is a list of 0 for 2 rows"):
        ModelStep(spec()).compute({"x": np.arange(2)}, np.arange(2), empty)


def test_output_of_a_dtype_that_no_column_has_is_named():
    servable = FakeServable(lambda inputs: {"y": inputs["x"] * 1j})
    with pytest.raises(TypeError, match="output 'y' has dtype complex128, expected one of"):
        ModelStep(spec()).compute({"x": np.ones(2)}, np.arange(2), servable)


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


@pytest.mark.parametrize("changes", [{}, {"bytes_outputs": ["y"]}], ids=["text", "bytes"])
@pytest.mark.parametrize("other", [None, 1.5, ["list"]], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_neither_text_nor_bytes_costs_its_row_only(other, place, changes):
    column = np.array(["a", "b", "c"], dtype=object)
    column[place] = other
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec(**changes)).run(batch(column), servable)
    kept = [value for row, value in enumerate("abc") if row != place]
    assert done.columns["twice"].tolist() == [v.encode() if changes else v for v in kept]
    # Without text before it, it is no dtype, which fails the call: its row is found by bisection.
    reason = "not_text" if place else "model_error"
    assert [(r.record_id, r.error_type, r.model) for r in done.rejects] == [(place, reason, "m")]
    assert f"holds {type(other).__name__} " in done.rejects[0].error_message


def test_output_of_which_nothing_is_text_is_an_error_of_its_model():
    servable = FakeServable(lambda inputs: {"y": np.array([None] * len(inputs["x"]))})
    done = ModelStep(spec()).run(batch(np.arange(3)), servable)
    assert [reject.error_type for reject in done.rejects] == ["model_error"] * 3
    assert "holds NoneType objects" in done.rejects[0].error_message


def test_half_a_surrogate_pair_cannot_become_bytes_and_costs_its_row_only():
    column = np.array(["a", "b\ud83d", b"c"], dtype=object)
    servable = FakeServable(lambda inputs: {"y": inputs["x"]})
    done = ModelStep(spec(bytes_outputs=["y"])).run(batch(column), servable)
    assert done.columns["twice"].tolist() == [b"a", b"c"]
    assert [(r.record_id, r.error_type) for r in done.rejects] == [(1, "not_text")]
    assert "half of a surrogate pair at position 1" in done.rejects[0].error_message


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


def by_call(small, large):
    """Returns one form for calls of small numbers and another one for others."""
    return FakeServable(
        lambda inputs: {"y": np.stack([small if inputs["x"][0] < 2 else large] * len(inputs["x"]))}
    )


@pytest.mark.parametrize(
    ("small", "large", "found"),
    [
        (np.array(7.0), np.array([8.0]), "rank 1 and float64"),
        (np.array(True), np.array(3), "rank 0 and int64"),
        (np.array(0.5), np.array(2**53 + 1), "rank 0 and int64"),
    ],
)
def test_rows_of_calls_of_another_form_cost_themselves_with_the_reason(small, large, found):
    done = ModelStep(spec(max_batch_size=2)).run(batch(np.arange(4)), by_call(small, large))
    assert done.columns["twice"].tolist() == [small.item()] * 2
    assert [(r.record_id, r.error_type) for r in done.rejects] == [
        (2, "model_error"),
        (3, "model_error"),
    ]
    assert f"model 'm': output 'y' has rows of {found} here" in done.rejects[0].error_message


def test_call_of_empty_rows_does_not_make_bytes_of_other_calls_numbers():
    def words(inputs):
        few = inputs["x"][0] < 1
        return {"y": Ragged([np.empty(0) if few else np.array([b"\xff"], object)])}

    step = ModelStep(spec(max_batch_size=1, bytes_outputs=["y"]))
    done = step.run(batch(np.arange(3)), FakeServable(words))
    assert [row.tolist() for row in done.columns["twice"].rows] == [[], [b"\xff"], [b"\xff"]]
    assert {row.dtype for row in done.columns["twice"].rows} == {np.dtype(object)}


def test_rows_of_another_length_are_not_rounded_by_what_others_return():
    def sizes(inputs):
        long = inputs["x"].shape[1] > 1
        return {"y": np.full(len(inputs["x"]), 2**53 + 1 if long else 0.5)}

    column = Ragged([np.zeros(1), np.zeros(2), np.zeros(1)])
    done = ModelStep(spec()).run(batch(column), FakeServable(sizes))
    assert done.columns["twice"].tolist() == [0.5, 0.5]
    assert [r.record_id for r in done.rejects] == [1]
    assert "has rows of rank 0 and int64 here" in done.rejects[0].error_message


def test_parts_of_a_fixed_number_of_rows_are_not_rounded_by_what_others_return():
    def sizes(inputs):
        large = inputs["x"][0] > 1
        return {"y": np.full(len(inputs["x"]), 2**53 + 1 if large else 0.5)}

    servable = FakeServable(sizes, Signature(fixed_batch_rows=2))
    done = ModelStep(spec()).run(batch(np.array([0.0, 1.0, 5.0, 6.0])), servable)
    assert done.columns["twice"].tolist() == [0.5, 0.5]
    assert [reject.record_id for reject in done.rejects] == [2, 3]
