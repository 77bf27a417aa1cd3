"""Merged calls where memory is short, and where rows of one caller are bad."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.batch.batch import Batch
from pipeline.errors import OutOfMemoryError
from pipeline.serving.merging import MergingServable
from pipeline.serving.opening import Opening
from pipeline.serving.step import bad_share
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import OnnxModel
from pipeline.testing import FakeServable
from tests.serving.calls_together import Held, RefusedError, picky, rows, run_together


def test_merged_calls_shrink_when_memory_runs_out_and_grow_again():
    held = Held(fits_rows=4)
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    run_together(merging, held, [rows(i) for i in range(6)])
    assert held.fake.calls == [1, 6, 3, 3]
    for expected in ([1, 3, 3], [1, 5, 1]):  # one row more after each call that did fit
        held.fake.fits_rows = None
        held.hold_again()
        run_together(merging, held, [rows(i) for i in range(6)])
        assert held.fake.calls == expected


def test_arrays_that_cannot_even_be_joined_are_computed_one_by_one(monkeypatch):
    held = Held()
    merging = MergingServable(held.fake, ["x"], call_rows=100)

    def concatenate(arrays, *rest, **more):
        raise MemoryError

    monkeypatch.setattr("pipeline.serving.merging.np.concatenate", concatenate)
    results = run_together(merging, held, [rows(1), rows(2)])
    assert [r["y"].tolist() for r in results] == [[[2, -2]], [[4, -4]]]


def test_batches_of_many_threads_lose_nothing_where_memory_is_short():
    """Through the model's whole step: merged calls are split, batches halved, no row rejected."""
    fake = FakeServable(lambda inputs: {"y": inputs["x"] * 2}, fits_rows=10)
    merging = MergingServable(fake, ["x"], call_rows=64)
    spec = OnnxModel.model_validate(
        {"name": "m", "framework": "onnx", "uri": "m", "inputs": {"x": "x"}, "outputs": {"y": "y"}}
    )
    start = threading.Barrier(8)

    def caller(thread):
        step = ModelStep(spec, call_rows=64)
        start.wait(30)
        for count in (1, 40, 7, 64, 10, 11):
            x = np.arange(count) + 1000 * thread
            done = step.run(Batch(tuple(range(count)), (b"",) * count, {"x": x}), merging)
            assert done.rejects == ()
            assert done.columns["y"].tolist() == (2 * x).tolist()
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(caller, range(8)))


SPEC = OnnxModel.model_validate(
    {"name": "m", "framework": "onnx", "uri": "m", "inputs": {"x": "x"}, "outputs": {"y": "y"}}
)


def columns_of(thread, share, batches=60):
    """Batches of 1 to 8 rows, of which a share is negative."""
    rng = np.random.default_rng(thread)
    counts = rng.integers(1, 9, batches)
    made = [rng.integers(1, 1000, count) for count in counts]
    return [np.where(rng.random(len(column)) < share, -column, column) for column in made]


def calls_of(servable, columns):
    """Runs batches through a step; checks that exactly the bad rows are rejected."""
    step = ModelStep(SPEC, call_rows=64)
    for column in columns:
        batch = Batch(tuple(range(len(column))), (b"",) * len(column), {"x": column})
        done = step.run(batch, servable)
        rejected = [reject.record_id for reject in done.rejects]
        assert rejected == np.flatnonzero(column < 0).tolist()
        if len(done):
            assert done.columns["y"].tolist() == (10 * column[column >= 0]).tolist()


@pytest.mark.parametrize("shares", [(0.3, 0, 0, 0), (0.02,) * 4, (0.9, 0.1, 0, 0)])
def test_bad_rows_of_one_thread_cost_the_others_no_row_and_few_calls(shares):
    columns = [columns_of(thread, share) for thread, share in enumerate(shares)]
    apart = FakeServable(picky)
    for of_thread in columns:
        calls_of(apart, of_thread)
    fake = FakeServable(picky)
    merging = MergingServable(fake, ["x"], call_rows=64)
    with ThreadPoolExecutor(len(shares)) as threads:
        list(threads.map(calls_of, [merging] * len(shares), columns))
    assert len(fake.calls) <= (1 + bad_share.SURPLUS) * len(apart.calls) + bad_share.CREDIT


def test_model_that_takes_one_row_at_a_time_is_soon_given_no_merged_calls():
    def lone(inputs):
        if len(inputs["x"]) > 1:
            raise RefusedError
        return {"y": inputs["x"] * 10}

    fake = FakeServable(lone)
    merging = MergingServable(fake, ["x"], call_rows=64)
    with ThreadPoolExecutor(4) as threads:
        columns = [columns_of(thread, 0) for thread in range(4)]
        list(threads.map(calls_of, [merging] * 4, columns))
    assert sum(rows > 1 for rows in fake.calls) < 60


def test_merged_call_that_fits_by_accident_of_its_size_is_not_believed():
    """Three rows go along the wrong axis, one is right, and no other number is taken."""

    def scaled(inputs):
        return {"y": inputs["x"][:, :3] * inputs["x"][:, 3]}

    held = Held(lambda inputs: {"y": inputs["x"]} if inputs["x"].shape[1] < 4 else scaled(inputs))
    merging = MergingServable(held.fake, ["x"], call_rows=64)
    x = np.arange(24.0).reshape(6, 4)
    results = run_together(merging, held, [{"x": row[None]} for row in x])
    np.testing.assert_allclose(
        np.concatenate([result["y"] for result in results]), x[:, :3] * x[:, 3:]
    )


def numbered(inputs):
    """Whole numbers that depend on how many rows there are; 13 is refused."""
    if (inputs["x"][:, 0] == 13).any():
        raise RefusedError
    return {"y": np.full(len(inputs["x"]), len(inputs["x"]))}


CALLS = [rows(i) for i in (1, 2, 3, 4, 5, 6, 13)]


@pytest.mark.parametrize("independent", [True, False])
def test_labels_that_calls_have_only_together_are_believed_where_rows_may_depend(
    independent, monkeypatch
):
    held = Held(numbered)
    backend = SimpleNamespace(load=lambda path, spec, context: held.fake)
    monkeypatch.setattr(registry, "backend", lambda framework: backend)
    entry = {"name": "m", "framework": "onnx", "uri": "m", "inputs": {"x": "x"}}
    spec = OnnxModel(**entry, outputs={"y": "y"}, independent_rows=independent)
    merging = Opening(Path("m"), spec, LoadContext("cpu", shared=True, call_rows=64))()
    *good, bad = run_together(merging, held, CALLS)
    assert isinstance(bad, RefusedError)
    assert all(len(result["y"]) == 1 for result in good)
    assert all(result["y"][0] == 1 for result in good) == independent


def test_comparison_of_a_merged_call_for_which_memory_is_short_costs_no_call_for_each():
    def short(inputs):
        x = inputs["x"][:, 0]
        if len(x) == 1 and x[0] == 1:
            raise OutOfMemoryError("the first caller is compared")
        if (x == 13).any():
            raise RefusedError
        return {"y": inputs["x"] * 2}

    held = Held(short)
    merging = MergingServable(held.fake, ["x"], call_rows=64)
    calls = [rows(i) for i in (*range(1, 13), *range(14, 32), 13)]
    *good, bad = run_together(merging, held, calls)
    assert isinstance(bad, RefusedError)
    assert [r["y"].tolist() for r in good] == [(c["x"] * 2).tolist() for c in calls[:-1]]
    assert len(held.fake.calls) < 20
