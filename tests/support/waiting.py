"""Waiting for what another thread or process does in its own time."""

import threading
import time


def wait_until(condition, secs=30.0):
    pause, deadline = threading.Event(), time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, f"not within {secs} s"
        pause.wait(0.002)
