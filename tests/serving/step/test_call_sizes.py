"""How many rows a call gets: by what the model takes, by memory, by time."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.batch.tensors import Signature
from pipeline.errors import OutOfMemoryError
from pipeline.serving.step import model_step
from pipeline.serving.step.model_step import ModelStep
from pipeline.testing import FakeServable
from tests.serving.step.entries import batch, failing_on_negative, spec, twice


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


def test_own_max_batch_size_goes_before_the_parameter():
    servable = FakeServable(twice)
    ModelStep(spec(max_batch_size=4), call_rows=8).run(batch(np.arange(10)), servable)
    assert servable.calls == [4, 4, 2]


def test_fixed_batch_size_is_filled_up_and_cut_off():
    servable = FakeServable(twice, Signature(fixed_batch_rows=4))
    done = ModelStep(spec()).run(batch(np.arange(10)), servable)
    assert servable.calls == [4, 4, 4]
    assert done.columns["twice"].tolist() == [2 * i for i in range(10)]
