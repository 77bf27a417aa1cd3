"""The garbage collector is paused for a block and never left off."""

import gc
import threading

import pytest

from pipeline.core.garbage import collector_paused


def test_paused_within_and_on_again_behind_also_after_an_error():
    def fail():
        with collector_paused():
            assert not gc.isenabled()
            raise ValueError("told to fail")

    with pytest.raises(ValueError, match="told to fail"):
        fail()
    assert gc.isenabled()


def test_who_runs_without_a_collector_keeps_it_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_threads_that_overlap_leave_it_on():
    both_in, first_out = threading.Barrier(2), threading.Event()

    def first():
        with collector_paused():
            both_in.wait()
        first_out.set()

    def second():
        with collector_paused():
            both_in.wait()
            first_out.wait()

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()
