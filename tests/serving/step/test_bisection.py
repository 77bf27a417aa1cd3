"""Bisection: exactly bad rows fail, within a bound of calls; size and memory are no row's fault."""

from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.serving.step import bad_share, bisection
from pipeline.serving.step.bisection import Experience


def failing_on(bad):
    def call(rows):
        found = [int(row) for row in rows if row in bad]
        if found:
            raise ValueError(f"row {found[0]}")
        return rows * 10

    return call


def failing_beyond(most, bad=(), calls=None):
    """Fails on more rows than `most`, and on bad ones."""

    def call(rows):
        if calls is not None:
            calls.append(rows.tolist())
        if len(rows) > most:
            raise ValueError(f"{len(rows)} rows")
        return failing_on(bad)(rows)

    return call


def check_complete(outcome, n):
    """Every row is in one place, results are in order and those of their rows."""
    done = [int(row) for rows, _ in outcome.results for row in rows]
    assert done == sorted(done)
    assert sorted([*done, *outcome.failed, *outcome.given_up]) == list(range(n))
    for rows, result in outcome.results:
        assert result.tolist() == (rows * 10).tolist()


def test_all_good_rows_are_one_call():
    outcome = bisection.isolate(failing_on(()), np.arange(256))
    assert outcome.calls == 1
    assert outcome.errors == {}


def test_one_bad_row_in_256_is_found_with_a_dozen_calls():
    outcome = bisection.isolate(failing_on({100}), np.arange(256))
    assert list(outcome.failed) == [100]
    assert str(outcome.failed[100]) == "row 100"
    assert outcome.calls <= 14


@given(
    n=st.integers(0, 60),
    bad=st.sets(st.integers(0, 59)),
    call_rows=st.none() | st.integers(1, 20),
)
def test_exactly_the_bad_rows_fail_and_results_keep_order(n, bad, call_rows):
    outcome = bisection.isolate(failing_on(bad), np.arange(n), call_rows=call_rows)
    check_complete(outcome, n)
    assert set(outcome.failed) == {row for row in bad if row < n}
    assert outcome.given_up == {}


@st.composite
def rows_with_bad_ones(draw):
    """Which of 2,048 rows are bad: of a share that changes, in clusters, at regular places."""
    count = 2048
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bad = np.zeros(count, dtype=bool)
    shares = draw(
        st.lists(st.sampled_from([0, 0.001, 0.01, 0.05, 0.3, 0.9, 1]), min_size=1, max_size=6)
    )
    stretches = np.array_split(np.arange(count), len(shares))
    for stretch, share in zip(stretches, shares, strict=True):
        bad[stretch] = rng.random(len(stretch)) < share
    for length in draw(st.lists(st.integers(1, 200), max_size=20)):
        start = rng.integers(0, count)
        bad[start : start + length] = True
    every = draw(st.sampled_from([None, 2, 3, 5, 8, 16, 33, 100, 1000]))
    if every:
        bad[draw(st.integers(0, every - 1)) :: every] = True
    return bad


@settings(max_examples=60)
@given(bad=rows_with_bad_ones(), length=st.sampled_from([1, 2, 7, 64, 256, 2048]))
def test_calls_are_bounded_by_the_entropy_and_by_the_rows_however_bad_ones_are_spread(bad, length):
    experience, calls = Experience(), 0
    for start in range(0, len(bad), length):
        of_batch = set(np.flatnonzero(bad[start : start + length]).tolist())
        rows = np.arange(len(bad[start : start + length]))
        outcome = bisection.isolate(failing_on(of_batch), rows, experience=experience)
        assert set(outcome.failed) == of_batch
        calls += outcome.calls
    share, clean = bad.mean(), ceil(len(bad) / length)
    # Above one half, good rows are the rare ones, and each of them must be called.
    entropy = sum(-p * log2(p) for p in (share, 1 - share) if p) if share < 0.5 else 1
    assert calls <= 1.5 * len(bad) * entropy + clean
    assert calls <= (1 + bad_share.SURPLUS) * len(bad) + bad_share.CREDIT


def test_what_was_learned_of_one_batch_saves_calls_in_the_next():
    bad = set(range(0, 256, 9))
    experience = Experience()
    first, second = (
        bisection.isolate(failing_on(bad), np.arange(256), experience=experience).calls
        for _ in range(2)
    )
    assert second < first


def test_nothing_is_given_up_while_anything_works():
    outcome = bisection.isolate(
        failing_on(set(range(1, 64))), np.arange(64), give_up=lambda tries: pytest.fail("asked")
    )
    assert len(outcome.failed) == 63


def test_search_ends_when_it_is_given_up():
    asked = []

    def give_up(tries):
        asked.append(tries)
        return tries == bisection.FEWEST_TRIES + 2

    outcome = bisection.isolate(failing_on(range(1024)), np.arange(1024), give_up=give_up)
    assert asked == [bisection.FEWEST_TRIES + i for i in range(3)]
    assert len(outcome.failed) == asked[-1]
    assert len(outcome.errors) == 1024
    assert outcome.calls < 100


@given(
    n=st.integers(1, 60),
    bad=st.sets(st.integers(0, 59), max_size=12),
    most=st.integers(1, 40),
    call_rows=st.none() | st.integers(1, 50),
)
def test_number_of_rows_that_fails_costs_no_row_and_is_not_called_again(n, bad, most, call_rows):
    experience = Experience()
    for _ in range(2):
        call = failing_beyond(most, bad)
        outcome = bisection.isolate(call, np.arange(n), call_rows=call_rows, experience=experience)
        check_complete(outcome, n)
        assert set(outcome.failed) == {row for row in bad if row < n}
    if experience.most is not None:
        assert experience.most <= most
        calls = []
        bisection.isolate(failing_beyond(most, (), calls), np.arange(n), experience=experience)
        assert max(map(len, calls)) <= experience.most


def test_model_that_takes_one_row_at_a_time_is_called_so_from_then_on():
    experience = Experience()
    outcome = bisection.isolate(failing_beyond(1), np.arange(64), experience=experience)
    assert outcome.errors == {}
    assert experience.most == 1
    assert str(outcome.limited) == "2 rows"
    again = bisection.isolate(failing_beyond(1), np.arange(64), experience=experience)
    assert (again.calls, again.limited) == (64, None)


def test_failure_that_has_passed_costs_no_row_and_limits_nothing():
    failures = [ValueError("once")]

    def call(rows):
        if failures and len(rows) > 8:
            raise failures.pop()
        return rows * 10

    experience = Experience()
    outcome = bisection.isolate(call, np.arange(32), experience=experience)
    assert (outcome.errors, outcome.limited, experience.most) == ({}, None, None)


def broadcast_over_three(rows):
    """Takes one row, or three, which it gives what belongs to the first of them."""
    if len(rows) not in (1, 3):
        raise ValueError(f"{len(rows)} rows do not fit to 3 columns")
    return np.full(len(rows), rows[0] * 10)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 11, 13, 64])
@pytest.mark.parametrize("bad", [(), (0,), (1, 2), (3,)])
def test_piece_that_works_where_the_whole_failed_counts_only_if_a_row_alone_agrees(n, bad):
    def call(rows):
        failing_on(bad)(rows)
        return broadcast_over_three(rows)

    def confirm(rows, result):
        return rows[0] not in bad and len(rows) == 1

    experience = Experience()
    outcome = bisection.isolate(call, np.arange(n), experience=experience, confirm=confirm)
    check_complete(outcome, n)
    assert set(outcome.failed) == set(bad)


def test_rows_computed_before_the_first_failure_are_computed_again_where_a_row_alone_differs():
    outcome = bisection.isolate(
        broadcast_over_three, np.arange(5), call_rows=3, confirm=lambda rows, result: False
    )
    check_complete(outcome, 5)
    assert isinstance(outcome.limited, ModelFaultError)


def test_rows_together_are_compared_with_a_row_alone_once():
    compared = []
    experience = Experience()
    for _ in range(3):
        bisection.isolate(
            failing_on({3, 50}),
            np.arange(64),
            experience=experience,
            confirm=lambda rows, result: compared.append(rows) or True,
        )
    assert len(compared) == 1


def test_comparison_that_could_not_be_made_costs_no_row_and_is_made_again():
    experience, compared = Experience(), []

    def run(same):
        compared.clear()
        return bisection.isolate(
            failing_on({3, 50}),
            np.arange(64),
            experience=experience,
            confirm=lambda rows, result: compared.append(rows) or same,
        )

    for same, expected in ((None, True), (True, True), (True, False)):
        outcome = run(same)
        assert set(outcome.failed) == {3, 50}
        assert outcome.limited is None
        assert bool(compared) == expected


def test_clean_rows_are_compared_with_nothing():
    bisection.isolate(failing_on(()), np.arange(64), confirm=lambda *_: pytest.fail("compared"))


def test_out_of_memory_halves_until_it_fits_and_keeps_that_size():
    calls = []

    def call(rows):
        calls.append(len(rows))
        if len(rows) > 30:
            raise OutOfMemoryError("too many")
        return rows

    outcome = bisection.isolate(call, np.arange(256))
    assert outcome.errors == {}
    assert [len(rows) for rows, _ in outcome.results] == [16] * 16
    assert calls == [256, 128, 64, 32] + [16] * 16


def test_out_of_memory_gives_nothing_up():
    def call(rows):
        raise OutOfMemoryError("too many")

    outcome = bisection.isolate(call, np.arange(64), give_up=lambda tries: pytest.fail("asked"))
    assert len(outcome.failed) == 64


def test_single_row_that_does_not_fit_fails_alone():
    def call(rows):
        if 5 in rows:
            raise OutOfMemoryError("too big")
        return rows

    outcome = bisection.isolate(call, np.arange(8))
    assert list(outcome.failed) == [5]


@given(bad=st.sets(st.integers(0, 59), max_size=20), fits=st.integers(1, 60))
def test_bad_rows_are_found_where_memory_is_short(bad, fits):
    def call(rows):
        if len(rows) > fits:
            raise OutOfMemoryError("too many")
        return failing_on(bad)(rows)

    outcome = bisection.isolate(call, np.arange(60))
    check_complete(outcome, 60)
    assert set(outcome.failed) == bad


def test_no_call_has_more_rows_than_the_limit():
    outcome = bisection.isolate(failing_on({3}), np.arange(10), call_rows=4)
    assert max(len(rows) for rows, _ in outcome.results) <= 4


def test_loss_of_the_process_that_computes_is_no_rows_fault():
    calls = []

    def call(rows):
        calls.append(rows)
        raise ProcessLostError("gone")

    with pytest.raises(ProcessLostError):
        bisection.isolate(call, np.arange(8))
    assert len(calls) == 1
