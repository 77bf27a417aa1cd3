"""Reading ahead: the same blocks and failures, and nothing left behind."""

import gc
import sys
import threading

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.block import Block
from pipeline.connectors.files.ahead import read_ahead
from pipeline.connectors.files.read import ReadBlocks


def blocks(count, told=lambda step: None, failure=None):
    """Some blocks; tells when one is about to be read, and when it is closed."""
    try:
        for number in range(count):
            told(number)
            yield Block((b"%d" % number,), f"file-{number}", format="jsonl")
        if failure is not None:
            raise failure
    finally:
        told("closed")


def threads():
    return [thread for thread in threading.enumerate() if "read-ahead" in thread.name]


@given(st.integers(0, 20))
def test_blocks_are_those_that_are_read_in_their_order(count):
    assert list(read_ahead(blocks(count))) == list(blocks(count))
    assert not threads()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_failure_comes_after_the_blocks_before_it(count):
    ahead = read_ahead(blocks(count, failure=OSError("gone")))
    assert [next(ahead) for _ in range(count)] == list(blocks(count))
    with pytest.raises(OSError, match="gone"):
        next(ahead)
    assert not threads()


@given(st.integers(1, 5), st.integers(1, 12))
def test_reading_pauses_when_it_holds_so_many_bytes(most, count):
    """Each block has one byte; the one that is computed is no longer held."""
    steps, paused = [], threading.Event()

    def told(step):
        steps.append(step)
        if step in (most, count - 1):
            paused.set()

    ahead = read_ahead(blocks(count, told), most)
    next(ahead)
    assert paused.wait(10)
    ahead.close()
    assert steps == [*range(min(most + 1, count)), "closed"]
    assert not threads()


def test_large_block_is_read_ahead_alone():
    steps, read = [], threading.Event()

    def told(step):
        steps.append(step)
        if step == 1:
            read.set()

    ahead = read_ahead(blocks(4, told), 0)
    assert next(ahead).payloads == (b"0",)
    assert read.wait(10)
    assert [block.payloads for block in ahead] == [(b"1",), (b"2",), (b"3",)]


def test_thread_that_collects_the_generator_of_its_blocks_ends(monkeypatch):
    """A failure's traceback may hold the reader in a cycle, and any thread collects those."""
    goes_on, ignored, steps = threading.Event(), [], []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)

    def told(step):
        if step == 1:
            goes_on.wait(10)
            gc.collect()
        steps.append(step)

    def forget():
        ahead = read_ahead(source)
        next(ahead)
        cycle = [ahead]
        cycle.append(cycle)
        return threads()

    source = blocks(9, told)
    (thread,) = forget()
    goes_on.set()
    thread.join(10)
    assert steps == [0, 1, "closed"]
    assert not ignored


def test_who_wants_no_more_waits_for_the_read_that_has_begun():
    begun, goes_on, steps = threading.Event(), threading.Event(), []

    def told(step):
        if step == 1:
            begun.set()
            goes_on.wait(10)
        steps.append(step)

    source = blocks(4, told)  # held, so that it is closed, not collected
    ahead = read_ahead(source)
    next(ahead)
    assert begun.wait(10)
    threading.Timer(0.05, goes_on.set).start()
    ahead.close()
    assert steps == [0, 1, "closed"]


@pytest.mark.parametrize(("size_bytes", "names"), [(100, []), (2 << 20, ["read-ahead"])])
def test_only_files_of_several_blocks_are_worth_a_thread(tmp_path, monkeypatch, size_bytes, names):
    started = []
    start = threading.Thread.start

    def telling(thread):
        if thread.name == "read-ahead":
            started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", telling)
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * (size_bytes // 3))
    with beam.Pipeline(FnApiRunner()) as pipeline:
        read = pipeline | ReadBlocks(f"{tmp_path}/*")
        assert_that(
            read | beam.Map(lambda block: len(block.payloads)) | beam.CombineGlobally(sum),
            equal_to([size_bytes // 3]),
        )
    assert started == names
