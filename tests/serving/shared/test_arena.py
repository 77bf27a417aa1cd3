"""Arrays through memory that two processes map: here, two maps of the same memory."""

import numpy as np
import pytest

from pipeline.serving.shared.arena import Address, Arena, ArenaError, ArenaPool

ARRAYS = {
    "floats": np.arange(12, dtype="float32").reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "every other": np.arange(10)[::2],
    "no rows": np.zeros((0, 4), "float32"),
    "constant": np.array(3.5),
    "text": np.array(["a", "ümlaut", ""], dtype=object),
    "bytes": np.array([b"\x00", b"ab"], dtype=object),
}


@pytest.fixture
def ends():
    mine = Arena.create()
    theirs = Arena.attach(mine.address)
    yield mine, theirs
    mine.close()
    theirs.close()


@pytest.mark.parametrize("copy", [True, False])
def test_arrays_of_all_kinds_arrive_as_they_were_sent(ends, copy):
    mine, theirs = ends
    found = theirs.get(mine.put(ARRAYS), copy=copy)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_both_ends_follow_when_the_other_makes_it_larger(ends):
    mine, theirs = ends
    small = theirs.get(mine.put({"x": np.ones(4)}), copy=False)
    large = np.arange(3_000_000, dtype="float64")
    np.testing.assert_array_equal(theirs.get(mine.put({"x": large}, 4096), copy=False)["x"], large)
    np.testing.assert_array_equal(mine.get(theirs.put({"x": -large}), copy=True)["x"], -large)
    assert small["x"].shape == (4,), "what was read before the memory grew can still be looked at"


def test_answer_lies_behind_the_question_that_it_may_be_made_of(ends):
    mine, theirs = ends
    question = mine.put({"x": np.arange(1000.0)})
    x = theirs.get(question, copy=False)["x"]
    answer = theirs.put({"reversed": x[::-1], "same": x}, question.end)
    found = mine.get(answer, copy=True)
    np.testing.assert_array_equal(found["reversed"], np.arange(1000.0)[::-1])
    np.testing.assert_array_equal(found["same"], np.arange(1000.0))


def test_copy_stays_when_the_memory_is_written_again(ends):
    mine, _ = ends
    found = mine.get(mine.put({"x": np.ones(4)}), copy=True)
    mine.put({"x": np.zeros(4)})
    assert found["x"].tolist() == [1, 1, 1, 1]
    found["x"] += 1  # may be written to, as what a model returns


def test_memory_that_is_gone_or_another_one_is_refused(ends):
    mine, _ = ends
    other = Address(mine.address.pid, mine.address.fd, "ensemble-of-another-call")
    with pytest.raises(ArenaError, match=r"/fd/\d+ is not the memory that was meant"):
        Arena.attach(other)
    with pytest.raises(ArenaError, match=r"/fd/99999: No such file"):
        Arena.attach(Address(mine.address.pid, 99999, mine.address.name))


def test_pool_gives_one_arena_to_one_call_and_takes_none_back_from_a_failed_one():
    pool = ArenaPool()
    with pool.borrow() as first, pool.borrow() as second:
        assert first is not second
    with pytest.raises(RuntimeError), pool.borrow() as failed:
        raise RuntimeError
    with pool.borrow() as third, pool.borrow() as fourth:
        assert failed not in (third, fourth)
        assert {third, fourth} & {first, second}
