"""Python's interpreter, shared by batches and by models that load beside them.

Two things make batches wait for a load although it runs in a thread of its own. The garbage
collector, which a load calls often, stops all threads while it looks at every object there is: with
TensorFlow imported, a third of a second. And a thread that waits for the interpreter gets it only
after the switch interval, 5 ms, several times in each batch.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# More objects than a block of records makes: amid a block, all of them are still in use.
_YOUNG_OBJECTS = 50_000
_LOADING_INTERVAL_SECS = 0.001

_lock = threading.Lock()
_loads = 0
_usual_interval_secs = 0.005


def settle() -> None:
    """Hides everything that exists now from the garbage collector: modules, which stay anyway.

    Call it when the frameworks are imported and no model is loaded yet: hidden objects that are in
    cycles are never freed. Idempotent.
    """
    with _lock:
        if not gc.get_freeze_count():
            gc.freeze()
            _, *older = gc.get_threshold()
            gc.set_threshold(_YOUNG_OBJECTS, *older)


@contextmanager
def importing() -> Iterator[None]:
    """Wraps imports of frameworks: without the collector, which would take a sixth of the time.

    Modules make no garbage worth mentioning, and it would look at all of them again and again.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def shared() -> Iterator[None]:
    """Wraps a load: threads take turns more often."""
    global _loads, _usual_interval_secs
    with _lock:
        if not _loads:
            _usual_interval_secs = sys.getswitchinterval()
            sys.setswitchinterval(min(_usual_interval_secs, _LOADING_INTERVAL_SECS))
        _loads += 1
    try:
        yield
    finally:
        with _lock:
            _loads -= 1
            if not _loads:
                sys.setswitchinterval(_usual_interval_secs)
