"""Rows that make a model fail, and models that fail on every row."""

import numpy as np
import pytest

from pipeline.errors import ModelFaultError
from pipeline.serving.step.model_step import ModelStep
from pipeline.testing import FakeServable
from tests.serving.step.entries import BAD, GOOD, batch, failing_on_negative, spec, twice


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


@pytest.mark.parametrize("rows", [1024, 4096])
def test_few_bad_rows_of_a_large_batch_cost_no_other(rows):
    column = np.arange(4096)
    column[[7, 1500, 2800, 4000]] = -1
    step = ModelStep(spec(), call_rows=rows)
    done = step.run(batch(column), FakeServable(failing_on_negative))
    assert [reject.record_id for reject in done.rejects] == [7, 1500, 2800, 4000]
    assert {reject.error_type for reject in done.rejects} == {"model_error"}
