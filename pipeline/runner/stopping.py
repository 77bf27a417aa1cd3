"""Ending a stream on purpose: one signal that every source of this process looks at.

A source that sees it takes nothing new in, emits what it holds and claims its end; the pipeline
then drains and finishes like one over files. The signal reaches the sources of this process only,
which is where local runners put them; a service is told to drain in its own way.
"""

from __future__ import annotations

import threading


class StopSignal:
    """Set once, by a signal handler, a timer or a limit. Safe from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Asks the sources to end."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the sources are to end."""
        return self._event.is_set()

    def clear(self) -> None:
        """As new. For a process that runs one job after another, before each of them."""
        self._event.clear()


stop_signal = StopSignal()
"""The signal of this process."""


def stop_all() -> None:
    """Asks all sources of this process to end."""
    stop_signal.set()


def stopped() -> bool:
    """Whether the sources of this process were asked to end. Can be pickled by name."""
    return stop_signal.is_set()
