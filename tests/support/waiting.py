"""Waiting for what another thread or process does in its own time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], secs: float = 30.0) -> None:
    pause, deadline = threading.Event(), time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, f"not within {secs} s"
        pause.wait(0.002)
