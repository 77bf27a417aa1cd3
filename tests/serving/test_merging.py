"""Calls that wait for a model are computed in one, and split again."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch.columns import Ragged
from pipeline.errors import OutOfMemoryError, ProcessLostError
from pipeline.serving.merging import MergingServable, Occupancy
from pipeline.serving.step import bisection
from pipeline.testing import FakeClock, FakeServable
from tests.serving.calls_together import Held, RefusedError, rows, run_together
from tests.support.waiting import wait_until


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
