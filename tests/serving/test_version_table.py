"""The table of versions in memory: one load for all, nothing goes that somebody uses."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.batch.release import ModelVersion
from pipeline.errors import LoadError
from pipeline.serving.version_table import VersionTable
from pipeline.testing import FakeClock, FakeLoader, FakeServable
from tests.support.waiting import wait_until

A, B = (ModelVersion(model, f"{model}/1", model) for model in "ab")


@pytest.fixture
def clock():
    return FakeClock(100.0)


@pytest.fixture
def loader():
    return FakeLoader(lambda version: FakeServable(dict))


@pytest.fixture
def table(loader, clock):
    return VersionTable(loader, clock)


def load(table, *versions):
    for version in versions:
        with table.use(version) as servable:
            pass
    return servable


@pytest.fixture
def loading(table, loader):
    """A thread that loads A, and is kept in the middle of it; what it got."""
    loader.gate.clear()
    got = []

    def use():
        with table.use(A) as servable:
            got.append(servable)

    thread = threading.Thread(target=use)
    thread.start()
    wait_until(table.versions)
    yield thread, got
    loader.gate.set()
    thread.join()


def test_version_is_loaded_once_and_stays(table, loader):
    assert load(table, A) is load(table, A)
    assert loader.loads == [A]
    assert set(table.ready()) == {A}


def test_version_that_still_loads_is_known_but_not_ready_and_cannot_be_removed(table, loading):
    assert table.versions() == {A}
    assert table.ready() == {}
    assert table.loaded() == []
    assert table.remove([A]) == []


def test_failed_load_leaves_nothing_and_the_next_one_tries_again(table, loader):
    loader.fail.add("a")
    for _ in range(2):
        with pytest.raises(LoadError), table.use(A):
            pass
    assert table.versions() == set()
    loader.fail.clear()
    load(table, A)
    assert table.reloads == 0, "it was never removed"


def test_error_of_the_user_is_not_taken_for_one_of_the_load(table):
    with pytest.raises(ZeroDivisionError), table.use(A):
        raise ZeroDivisionError
    assert table.versions() == {A}


def test_only_what_nobody_uses_is_removed_and_a_later_use_counts_as_reload(table, loader):
    load(table, A)
    with table.use(B):
        (gone,) = table.remove([A, B])
    assert table.versions() == {B}
    assert not gone.closed, "its closing is the caller's"
    load(table, A)
    assert loader.loads == [A, B, A]
    assert table.reloads == 1


def test_user_keeps_the_servable_of_a_cleared_table_and_frees_it(table):
    free = load(table, A)
    with table.use(B) as outer:
        with table.use(B) as inner:
            assert table.clear() == [free]
            assert table.versions() == set()
        assert not inner.closed
    assert outer.closed


def test_version_that_loads_while_the_table_is_cleared_is_freed_by_its_user(table, loader, loading):
    thread, got = loading
    assert table.clear() == []
    loader.gate.set()
    thread.join()
    assert got[0].closed
    assert load(table, A) is not got[0]


def test_load_that_fails_late_takes_out_nothing_that_was_loaded_since(clock):
    begun, fail = threading.Event(), threading.Event()

    def load_or_fail(version):
        if begun.is_set():
            return FakeServable(dict)
        begun.set()
        fail.wait()
        raise LoadError("late")

    table = VersionTable(load_or_fail, clock)
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(load, table, A)
        begun.wait()
        table.clear()
        servable = load(table, A)
        fail.set()
        assert isinstance(failing.exception(), LoadError)
    assert table.ready() == {A: servable}


def test_policy_sees_users_and_how_long_a_version_was_idle(table, clock):
    load(table, A)
    clock.advance(7.0)
    with table.use(B):
        seen = {one.version: one for one in table.loaded()}
    assert (seen[A].users, seen[A].idle_secs) == (0, 7.0)
    assert seen[B].users == 1


def test_load_secs_are_those_of_the_load_by_the_clock_of_the_table(clock):
    def slowly(version):
        clock.advance(2.5)
        return FakeServable(dict)

    table = VersionTable(slowly, clock)
    load(table, A)
    clock.advance(60.0)
    load(table, A)
    assert table.load_secs() == {A: 2.5}


def test_who_waits_until_a_version_is_unused_goes_on_when_its_last_user_leaves(table):
    waited = threading.Event()

    def wait():
        table.wait_unused([A])
        waited.set()

    with table.use(A):
        thread = threading.Thread(target=wait)
        thread.start()
        with table.use(A):
            pass
        assert not waited.wait(0.05), "one user is left"
    assert waited.wait(10)
    thread.join()
