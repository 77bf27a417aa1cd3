"""A network's calls take all threads, or one where that is faster."""

import pytest

from pipeline.backends.torch.thread_choice import ThreadChoice


class Model:
    """Calls that take (threads, rows) -> seconds, by a clock of their own."""

    def __init__(self, secs, granted=4):
        self._now, self._secs = 0.0, secs
        self.choice = ThreadChoice(granted, lambda: self._now)

    def threads(self, rows, calls=1):
        """The threads of so many calls."""
        taken = []
        for _ in range(calls):
            with self.choice.for_call(rows) as threads:
                self._now += self._secs(threads, rows)
            taken.append(threads)
        return taken


def small(threads, rows):
    return 0.001 * rows / 1000 / threads + 0.0002 * (threads > 1)


def test_small_calls_take_one_thread_and_large_ones_all_that_are_granted():
    model = Model(small)
    assert model.threads(64, 20)[-10:] == [1] * 10
    assert model.threads(2000, 20)[-10:] == [4] * 10
    assert model.threads(64) == [1]  # each size by itself


def test_long_call_is_never_tried_with_one_thread():
    model = Model(lambda threads, rows: 0.02 / threads)
    assert set(model.threads(64, 50)) == {4}


def test_only_thread_that_is_granted_is_taken_without_a_try():
    model = Model(small, granted=1)
    assert model.threads(64, 20) == [1] * 20


def test_first_call_that_prepares_something_does_not_decide():
    began = []

    def secs(threads, rows):
        began.append(threads)
        return 30.0 if len(began) == 1 else small(threads, rows)

    assert Model(secs).threads(64, 20)[-1] == 1


def test_it_is_tried_again_when_the_machine_may_have_changed():
    busy = [False]

    def secs(threads, rows):
        return 0.001 if busy[0] and threads == 1 else small(threads, rows)

    model = Model(secs)
    assert model.threads(64, 20)[-1] == 1
    busy[0] = True
    assert model.threads(64, 5000)[-1] == 4


def test_call_that_fails_tells_nothing():
    model = Model(small)
    for _ in range(20):  # in no time, with all threads
        with pytest.raises(ValueError, match="told to fail"), model.choice.for_call(64):
            raise ValueError("told to fail")
    assert model.threads(64, 20)[-1] == 1
