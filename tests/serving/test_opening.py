"""Servables are freed, whatever closing them raises."""

import gc
import weakref

from pipeline.serving.opening import free
from pipeline.testing import FakeServable


class Stubborn(FakeServable):
    def close(self):
        raise RuntimeError("does not close")


def test_error_of_closing_one_is_logged_and_the_others_are_closed(caplog):
    other = FakeServable(dict)
    free([Stubborn(dict), other])
    assert other.closed
    assert "does not close" in caplog.text


def test_what_hangs_together_in_a_cycle_is_freed_at_once():
    servable = FakeServable(dict)
    servable.itself = servable
    freed = weakref.ref(servable)
    servables = [servable]
    del servable
    gc.disable()
    try:
        free(servables)
    finally:
        gc.enable()
    assert freed() is None
