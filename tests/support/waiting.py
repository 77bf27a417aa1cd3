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


def in_thread(run: Callable[[], object], within_secs: float) -> None:
    """Runs something that may not end; it is left behind if it does not end in time."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(within_secs)
    assert not thread.is_alive(), f"it did not end within {within_secs} s"
    if failures:
        raise failures[0]
