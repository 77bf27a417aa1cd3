"""Calls that meet at a model are computed together, and nobody notices but the clock."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged
from pipeline.errors import OutOfMemoryError, ProcessLostError
from pipeline.serving.merging import MergingServable, Occupancy
from pipeline.serving.opening import Opening
from pipeline.serving.step import bad_share, bisection
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import OnnxModel
from pipeline.testing import FakeClock, FakeServable
from tests.support.waiting import wait_until


class Held:
    """A servable whose next call waits until it is let go, so that others queue behind it."""

    def __init__(self, function=lambda inputs: {"y": inputs["x"] * 2}, **settings):
        self.entered, self.let_go = threading.Event(), threading.Event()

        def held(inputs):
            if not self.entered.is_set():
                self.entered.set()
                assert self.let_go.wait(30)
            return function(inputs)

        self.fake = FakeServable(held, **settings)

    def hold_again(self):
        """Holds the next call, too, and counts from there."""
        self.let_go.clear()
        self.entered.clear()
        self.fake.calls.clear()


class SlowCalls:
    """A servable whose calls take so many seconds of a clock, which are changed on the way."""

    def __init__(self, secs):
        self.secs, self.clock = secs, FakeClock()

    def __call__(self, inputs):
        self.clock.advance(self.secs)
        return {"y": inputs["x"] * 2}


def grow_slow(merging, slow):
    """Calls, of which each may count as twice as long as the last, until they count as 100 s."""
    slow.secs = 100
    for _ in range(20):
        merging.predict(rows(0))


def run_together(merging, held, calls):
    """Results or errors of `calls`, made while another call held the model; and that one's rows."""
    with ThreadPoolExecutor(len(calls) + 1) as threads:
        first = threads.submit(merging.predict, {"x": np.zeros((1, 2))})
        assert held.entered.wait(30)
        futures = []
        for i, inputs in enumerate(calls):
            futures.append(threads.submit(merging.predict, inputs))
            # They queue in this order.
            wait_until(lambda: merging.occupancy().waiting > i)  # noqa: B023
        held.let_go.set()
        first.result()
        return [f.exception() or f.result() for f in futures]


def rows(*values):
    return {"x": np.array([[v, -v] for v in values], dtype=float).reshape(len(values), 2)}


def test_calls_that_wait_are_computed_in_one_and_split_again():
    held = Held()
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    results = run_together(merging, held, [rows(1), rows(2, 3), rows(4)])
    assert held.fake.calls == [1, 4]
    assert [r["y"].tolist() for r in results] == [[[2, -2]], [[4, -4], [6, -6]], [[8, -8]]]


def test_merged_call_stays_below_the_largest_batch():
    held = Held()
    merging = MergingServable(held.fake, ["x"], call_rows=3)
    run_together(merging, held, [rows(1, 2), rows(3, 4), rows(5), rows(6, 7, 8, 9)])
    assert held.fake.calls == [1, 3, 2, 4]


def test_first_caller_that_comes_back_waits_for_the_others_of_its_group():
    slow = SlowCalls(0)
    held = Held(slow)
    merging = MergingServable(held.fake, ["x"], call_rows=100, clock=slow.clock)
    held.let_go.set()
    grow_slow(merging, slow)
    held.hold_again()
    run_together(merging, held, [rows(1), rows(2), rows(3)])
    with ThreadPoolExecutor(3) as threads:
        assert len(list(threads.map(merging.predict, [rows(1), rows(2, 3), rows(4)]))) == 3
    assert held.fake.calls == [1, 3, 4]


def test_lone_caller_waits_once_for_those_who_left_and_never_again():
    slow = SlowCalls(0)
    held = Held(slow)
    merging = MergingServable(held.fake, ["x"], call_rows=100, clock=slow.clock)
    run_together(merging, held, [rows(1), rows(2)])
    merging.predict(rows(3))
    grow_slow(merging, slow)
    merging.predict(rows(4))  # the test would run out of time
    assert held.fake.calls == [1, 2, 1, *[1] * 20, 1]


def test_nobody_waits_where_several_calls_may_run():
    slow, busy = SlowCalls(100), threading.Event()
    held = Held(slow)

    def function(inputs):
        if len(inputs["x"]) == 9:
            assert busy.wait(30)
        return held.fake.predict(inputs)

    merging = MergingServable(
        FakeServable(function), ["x"], call_rows=100, concurrency=2, clock=slow.clock
    )
    with ThreadPoolExecutor(1) as threads:
        elsewhere = threads.submit(merging.predict, rows(*range(9)))
        wait_until(lambda: merging.occupancy().running == 1)
        run_together(merging, held, [rows(1), rows(2)])
        busy.set()
        elsewhere.result(30)
    grow_slow(merging, slow)
    merging.predict(rows(3))  # the test would run out of time
    assert held.fake.calls == [1, 2, 9, *[1] * 20, 1]


def test_long_call_does_not_make_the_next_ones_wait_long():
    slow = SlowCalls(0.001)
    held = Held(slow)
    merging = MergingServable(held.fake, ["x"], call_rows=100, clock=slow.clock)
    run_together(merging, held, [rows(1), rows(2)])
    slow.secs = 200
    held.hold_again()
    run_together(merging, held, [rows(3), rows(4)])
    with ThreadPoolExecutor(1) as threads:  # those two may come back
        threads.submit(merging.predict, rows(5)).result(20)


def test_only_arrays_of_one_form_are_merged():
    held = Held(lambda inputs: {"y": inputs["x"].sum(axis=-1)})
    merging = MergingServable(held.fake, ["x"], call_rows=100)
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
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    good, bad, also_good = run_together(merging, held, [rows(1), rows(13), rows(2)])
    assert isinstance(bad, ValueError)
    assert good["y"].tolist() == [[1, -1]]
    assert also_good["y"].tolist() == [[2, -2]]


def test_out_of_memory_of_a_merged_call_is_no_callers_fault():
    held = Held(fits_rows=2)
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    results = run_together(merging, held, [rows(1, 2), rows(3)])
    assert [r["y"].shape for r in results] == [(2, 2), (1, 2)]
    with pytest.raises(OutOfMemoryError):
        merging.predict(rows(1, 2, 3))


def test_output_that_lost_its_rows_is_not_split():
    """The caller alone gets it as it is, and says what is wrong with it."""
    held = Held(lambda inputs: {"y": inputs["x"].sum()})
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    results = run_together(merging, held, [rows(1), rows(2)])
    assert [r["y"].ndim for r in results] == [0, 0]
    assert held.fake.calls == [1, 2, 1, 1, 2]  # the last: whether the first failed by chance


def test_constants_have_no_rows():
    held = Held(lambda inputs: {"y": inputs["x"] * inputs["gain"]})
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    held.entered.set()  # nothing to hold: one call only
    result = merging.predict({**rows(1, 2), "gain": np.array(3.0)})
    assert result["y"].tolist() == [[3, -3], [6, -6]]


def test_several_calls_may_run_at_once():
    both = threading.Barrier(2, timeout=30)  # breaks unless two threads are inside

    def meet(inputs):
        both.wait()
        return {"y": inputs["x"]}

    merging = MergingServable(FakeServable(meet), ["x"], call_rows=100, concurrency=2)
    with ThreadPoolExecutor(2) as threads:
        assert len(list(threads.map(merging.predict, [rows(1), rows(2)]))) == 2


def test_groups_that_run_at_once_learn_apart(monkeypatch):
    busy, both, learning = threading.Event(), threading.Barrier(2, timeout=30), []

    def function(inputs):
        assert inputs["x"].any() or busy.wait(30)
        return {"y": inputs["x"]}

    def meet(compute, places, *, experience, confirm):
        learning.append(experience)
        both.wait()  # nothing is given back before both have taken something
        return run(compute, places, experience=experience, confirm=confirm)

    run = bisection.isolate
    monkeypatch.setattr("pipeline.serving.merging.bisection.isolate", meet)
    merging = MergingServable(FakeServable(function), ["x"], call_rows=100, concurrency=2)
    for _ in range(2):  # the second time there is experience to take
        busy.clear()
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(merging.predict, rows(0)) for _ in range(2)]
            wait_until(lambda: merging.occupancy().running == 2)
            for form in ((1, 2), (1, 3)):
                calls.append(threads.submit(merging.predict, {"x": np.ones(form)}))
            wait_until(lambda: merging.occupancy().waiting == 2)
            busy.set()
            assert [call.exception(30) for call in calls] == [None] * 4
    assert len(set(map(id, learning[:2]))) == len(set(map(id, learning[2:]))) == 2


def test_beside_a_call_another_begins_only_when_a_full_one_waits_and_the_oldest_goes_first():
    held = Held()
    merging = MergingServable(held.fake, ["x"], call_rows=4, concurrency=2, only_full=True)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(merging.predict, rows(1))
        assert held.entered.wait(30)
        small = threads.submit(merging.predict, rows(2, 3, 4))
        wait_until(lambda: merging.occupancy().waiting == 1)
        assert held.fake.calls == [1]
        filling = threads.submit(merging.predict, rows(5))
        assert small.result(30)["y"].shape == (3, 2)  # all this while the first is held
        assert filling.result(30)["y"].tolist() == [[10, -10]]
        assert held.fake.calls == [1, 4]
        small = threads.submit(merging.predict, rows(6))
        wait_until(lambda: merging.occupancy().waiting == 1)
        assert merging.predict(rows(7, 8, 9, 10))["y"].shape == (4, 2)
        assert small.result(30)["y"].tolist() == [[12, -12]]
        assert held.fake.calls == [1, 4, 1, 4]
        last = threads.submit(merging.predict, rows(11))
        wait_until(lambda: merging.occupancy().waiting == 1)
        held.let_go.set()
        assert first.result(30)["y"].tolist() == [[2, -2]]
        assert last.result(30)["y"].tolist() == [[22, -22]]
    assert merging.occupancy() == Occupancy(0, 0, 0)


def test_process_that_is_lost_is_told_to_all_callers_of_a_merged_call():
    def lose(inputs):
        if len(inputs["x"]) > 1:
            raise ProcessLostError("gone")
        return {"y": inputs["x"]}

    held = Held(lose)
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    results = run_together(merging, held, [rows(1), rows(2)])
    assert [type(result) for result in results] == [ProcessLostError] * 2
    assert held.fake.calls == [1, 2]  # and none is tried again


def test_interrupted_leader_does_not_leave_the_others_waiting():
    class Stop(BaseException):
        pass

    def stop_once(inputs):
        if len(inputs["x"]) > 1:
            raise Stop
        return {"y": inputs["x"]}

    held = Held(stop_once)
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    results = run_together(merging, held, [rows(1), rows(2)])
    assert isinstance(results[0], Stop)
    assert results[1]["y"].tolist() == [[2, -2]]
    assert merging.predict(rows(5))["y"].tolist() == [[5, -5]]


def test_interrupted_waiter_leaves_the_queue_to_the_others():
    class Stop(BaseException):
        pass

    def stop(number, frame):
        raise Stop

    def interrupt():
        wait_until(lambda: merging.occupancy().waiting == 1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    held = Held()
    merging = MergingServable(held.fake, ["x"], call_rows=100)
    before = signal.signal(signal.SIGUSR1, stop)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(merging.predict, rows(1))
        assert held.entered.wait(30)
        threads.submit(interrupt)
        with pytest.raises(Stop):
            merging.predict(rows(1, 2, 3))
        signal.signal(signal.SIGUSR1, before)
        assert merging.occupancy().waiting == 0
        held.let_go.set()
        first.result(30)
    assert merging.predict(rows(5))["y"].tolist() == [[10, -10]]
    assert held.fake.calls == [1, 1]


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


def picky(inputs):
    """Takes no negative rows."""
    if (inputs["x"] < 0).any():
        raise RefusedError
    return {"y": inputs["x"] * 10}


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


class RefusedError(Exception):
    pass


@dataclass(frozen=True)
class Ask:
    """A call: so many rows of a width and dtype, one of them bad or none."""

    count: int
    width: int
    dtype: str
    bad: bool

    def rows(self, number):
        x = np.full((self.count, self.width), number * 8, self.dtype)
        x += np.arange(self.count, dtype=self.dtype)[:, None]
        if self.bad:
            x[self.count // 2] = -1
        return x


ASKS = st.builds(
    Ask,
    count=st.integers(1, 6),
    width=st.integers(1, 2),
    dtype=st.sampled_from(["float32", "int64"]),
    bad=st.sampled_from([False, False, False, True]),
)


def answer(inputs):
    """Tells rows and dtypes apart; fails as a whole where one row is bad."""
    x = inputs["x"]
    if (x < 0).any():
        raise RefusedError
    return {"y": x * 10, "n": x.sum(axis=1), "r": Ragged(map(repeated, x[:, 0]))}


def repeated(value):
    """A row whose length is not that of its neighbours."""
    return np.full(int(value) % 4, value)


@settings(max_examples=60)
@given(
    threads=st.lists(st.lists(ASKS, min_size=1, max_size=6), min_size=2, max_size=6),
    call_rows=st.integers(1, 16),
    concurrency=st.integers(1, 3),
    only_full=st.booleans(),
    fits_rows=st.none() | st.integers(1, 12),
)
def test_whatever_the_interleaving_each_caller_gets_its_rows_or_its_error(
    threads, call_rows, concurrency, only_full, fits_rows
):
    gathered = threading.Event()

    def once_gathered(inputs):
        """The first calls wait until the others queue, so that there is something to merge."""
        for _ in range(100):
            if merging.occupancy().waiting >= len(threads) - concurrency:
                gathered.set()
            if gathered.wait(0.001):
                break
        return answer(inputs)

    fake = FakeServable(once_gathered, fits_rows=fits_rows)
    merging = MergingServable(fake, ["x"], call_rows, concurrency, only_full)
    start = threading.Barrier(len(threads))

    def caller(thread):
        start.wait(30)
        for number, ask in enumerate(threads[thread]):
            x = ask.rows(number + 100 * thread)
            if fits_rows is not None and ask.count > fits_rows:
                expected = OutOfMemoryError
            else:
                expected = RefusedError if ask.bad else None
            if expected is not None:
                with pytest.raises(expected):
                    merging.predict({"x": x})
                continue
            found = merging.predict({"x": x})
            np.testing.assert_array_equal(found["y"], x * 10, strict=True)
            np.testing.assert_array_equal(found["n"], x.sum(axis=1), strict=True)
            for row, value in zip(found["r"].rows, x[:, 0], strict=True):
                np.testing.assert_array_equal(row, repeated(value), strict=True)
        return True

    with ThreadPoolExecutor(len(threads)) as pool:
        assert all(pool.map(caller, range(len(threads))))
    assert merging.occupancy() == Occupancy(0, 0, 0)
