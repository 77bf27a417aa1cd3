"""How the work of a call grows with the size of what it is given: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of the package a call runs in this thread; each turn of a loop counts."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "call" and "/pipeline/" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def growth(work_of: Callable[[int], Callable[[], object]], size: int = 200) -> float:
    """How many times the lines of a size are run for twice that size: 2 if linear, 4 if quadratic.

    Args:
      work_of: prepares a call for a size, which is not counted.
      size: the smaller one.
    """
    small, large = lines_run(work_of(size)), lines_run(work_of(2 * size))
    return large / small
