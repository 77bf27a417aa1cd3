"""Calls of several threads that meet in one merging servable."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.testing import FakeServable
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


def picky(inputs):
    """Takes no negative rows."""
    if (inputs["x"] < 0).any():
        raise RefusedError
    return {"y": inputs["x"] * 10}


class RefusedError(Exception):
    pass
