"""Calls that meet at a model are computed together, and nobody notices but the clock."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import OutOfMemoryError
from pipeline.serving.merging import MergingServable
from pipeline.testing import FakeServable


class Held:
    """A servable whose first call waits until it is let go, so that others queue behind it."""

    def __init__(self, function=lambda inputs: {"y": inputs["x"] * 2}, **settings):
        self.entered, self.let_go = threading.Event(), threading.Event()

        def held(inputs):
            if not self.entered.is_set():
                self.entered.set()
                assert self.let_go.wait(30)
            return function(inputs)

        self.fake = FakeServable(held, **settings)


def run_together(merging, held, calls):
    """Results or errors of `calls`, made while another call held the model; and that one's rows."""
    with ThreadPoolExecutor(len(calls) + 1) as threads:
        first = threads.submit(merging.predict, {"x": np.zeros((1, 2))})
        assert held.entered.wait(30)
        futures = []
        for i, inputs in enumerate(calls):
            futures.append(threads.submit(merging.predict, inputs))
            while len(merging._waiting) <= i:  # they queue in this order
                threading.Event().wait(0.001)
        held.let_go.set()
        first.result()
        return [f.exception() or f.result() for f in futures]


def rows(*values):
    return {"x": np.array([[v, -v] for v in values], dtype=float).reshape(len(values), 2)}


def test_calls_that_wait_are_computed_in_one_and_split_again():
    held = Held()
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    results = run_together(merging, held, [rows(1), rows(2, 3), rows(4)])
    assert held.fake.calls == [1, 4]
    assert [r["y"].tolist() for r in results] == [[[2, -2]], [[4, -4], [6, -6]], [[8, -8]]]


def test_merged_call_stays_below_the_largest_batch():
    held = Held()
    merging = MergingServable(held.fake, ["x"], max_rows=3)
    run_together(merging, held, [rows(1, 2), rows(3, 4), rows(5), rows(6, 7, 8, 9)])
    assert held.fake.calls == [1, 3, 2, 4]


def test_only_arrays_of_one_form_are_merged():
    held = Held(lambda inputs: {"y": inputs["x"].sum(axis=-1)})
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    calls = [{"x": np.ones((1, 2))}, {"x": np.ones((1, 3))}, {"x": np.ones((1, 2), dtype="f4")}]
    results = run_together(merging, held, calls)
    assert [r["y"].tolist() for r in results] == [[2], [3], [2]]
    assert held.fake.calls == [1, 1, 1, 1]


def test_error_reaches_only_the_caller_that_causes_it():
    def picky(inputs):
        if (inputs["x"][:, 0] == 13).any():
            raise ValueError("13")
        return {"y": inputs["x"]}

    held = Held(picky)
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    good, bad, also_good = run_together(merging, held, [rows(1), rows(13), rows(2)])
    assert isinstance(bad, ValueError)
    assert good["y"].tolist() == [[1, -1]]
    assert also_good["y"].tolist() == [[2, -2]]


def test_out_of_memory_of_a_merged_call_is_no_callers_fault():
    held = Held(fits_rows=2)
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    results = run_together(merging, held, [rows(1, 2), rows(3)])
    assert [r["y"].shape for r in results] == [(2, 2), (1, 2)]
    with pytest.raises(OutOfMemoryError):
        merging.predict(rows(1, 2, 3))


def test_output_that_lost_its_rows_is_not_split():
    """The caller alone gets it as it is, and says what is wrong with it."""
    held = Held(lambda inputs: {"y": inputs["x"].sum()})
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    results = run_together(merging, held, [rows(1), rows(2)])
    assert [r["y"].ndim for r in results] == [0, 0]
    assert held.fake.calls == [1, 2, 1, 1]


def test_constants_have_no_rows():
    held = Held(lambda inputs: {"y": inputs["x"] * inputs["gain"]})
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    held.entered.set()  # nothing to hold: one call only
    result = merging.predict({**rows(1, 2), "gain": np.array(3.0)})
    assert result["y"].tolist() == [[3, -3], [6, -6]]


def test_several_calls_may_run_at_once():
    both = threading.Barrier(2, timeout=30)  # breaks unless two threads are inside

    def meet(inputs):
        both.wait()
        return {"y": inputs["x"]}

    merging = MergingServable(FakeServable(meet), ["x"], max_rows=100, concurrency=2)
    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(merging.predict, [rows(1), rows(2)]))) == 2


def test_interrupted_leader_does_not_leave_the_others_waiting():
    class Stop(BaseException):
        pass

    def stop_once(inputs):
        if len(inputs["x"]) > 1:
            raise Stop
        return {"y": inputs["x"]}

    held = Held(stop_once)
    merging = MergingServable(held.fake, ["x"], max_rows=100)
    results = run_together(merging, held, [rows(1), rows(2)])
    assert isinstance(results[0], Stop)
    assert "given up" in str(results[1])
    assert merging.predict(rows(5))["y"].tolist() == [[5, -5]]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=2, max_size=6),
    max_rows=st.integers(1, 12),
    concurrency=st.integers(1, 3),
)
def test_whatever_the_interleaving_each_caller_gets_its_rows(sizes, max_rows, concurrency):
    fake = FakeServable(lambda inputs: {"y": inputs["x"] * 10, "n": inputs["x"].sum(axis=1)})
    merging = MergingServable(fake, ["x"], max_rows, concurrency)
    start = threading.Barrier(len(sizes))

    def caller(thread):
        start.wait(30)
        for call, count in enumerate(sizes[thread]):
            x = np.full((count, 3), thread * 1000 + call) + np.arange(count)[:, None] / 8
            result = merging.predict({"x": x})
            np.testing.assert_array_equal(result["y"], x * 10)
            np.testing.assert_array_equal(result["n"], x.sum(axis=1))
        return True

    with ThreadPoolExecutor(len(sizes)) as threads:
        assert all(threads.map(caller, range(len(sizes))))
    assert sum(fake.calls) == sum(map(sum, sizes))
    assert merging._free == concurrency
    assert merging._waiting == []
