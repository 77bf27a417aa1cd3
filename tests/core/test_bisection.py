"""Bisection: bad rows alone, memory halved, a budget that holds, and every row accounted for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import bisection
from pipeline.errors import OutOfMemoryError, ProcessLostError


def failing_on(bad):
    def call(rows):
        found = [int(row) for row in rows if row in bad]
        if found:
            raise ValueError(f"row {found[0]}")
        return rows * 10

    return call


def test_all_good_rows_are_one_call():
    outcome = bisection.run(failing_on(()), np.arange(256))
    assert outcome.calls == 1
    assert outcome.errors == {}


def test_one_bad_row_in_256_is_found_with_17_calls():
    outcome = bisection.run(failing_on({100}), np.arange(256))
    assert list(outcome.failed) == [100]
    assert outcome.given_up == {}
    assert outcome.calls == 17


def test_budget_bounds_the_calls_when_every_row_fails():
    outcome = bisection.run(failing_on(range(1024)), np.arange(1024), budget=64)
    assert outcome.calls <= 65
    assert len(outcome.errors) == 1024
    assert outcome.given_up


def test_out_of_memory_halves_until_it_fits_and_keeps_that_size():
    calls = []

    def call(rows):
        calls.append(len(rows))
        if len(rows) > 30:
            raise OutOfMemoryError("too many")
        return rows

    outcome = bisection.run(call, np.arange(256))
    assert outcome.errors == {}
    assert [len(rows) for rows, _ in outcome.results] == [16] * 16
    assert calls == [256, 128, 64, 32] + [16] * 16


def test_memory_halving_does_not_spend_the_budget():
    def call(rows):
        if len(rows) > 1:
            raise OutOfMemoryError("too many")
        return rows

    assert bisection.run(call, np.arange(64), budget=0).errors == {}


def test_single_row_that_does_not_fit_fails_alone():
    def call(rows):
        if 5 in rows:
            raise OutOfMemoryError("too big")
        return rows

    outcome = bisection.run(call, np.arange(8))
    assert list(outcome.failed) == [5]


def test_no_call_exceeds_max_rows():
    outcome = bisection.run(failing_on({3}), np.arange(10), max_rows=4)
    assert max(len(rows) for rows, _ in outcome.results) <= 4


@given(
    n=st.integers(0, 60),
    bad=st.sets(st.integers(0, 59)),
    max_rows=st.none() | st.integers(1, 20),
    budget=st.integers(0, 40),
)
def test_every_row_ends_in_exactly_one_place_and_results_keep_order(n, bad, max_rows, budget):
    outcome = bisection.run(failing_on(bad), np.arange(n), max_rows=max_rows, budget=budget)
    done = [int(row) for rows, _ in outcome.results for row in rows]
    assert done == sorted(done)
    assert sorted([*done, *outcome.failed, *outcome.given_up]) == list(range(n))
    assert set(outcome.failed) <= bad
    assert not bad & set(done)
    for rows, result in outcome.results:
        assert result.tolist() == (rows * 10).tolist()


def test_loss_of_the_process_that_computes_is_no_rows_fault():
    calls = []

    def call(rows):
        calls.append(rows)
        raise ProcessLostError("gone")

    with pytest.raises(ProcessLostError):
        bisection.run(call, np.arange(8))
    assert len(calls) == 1
