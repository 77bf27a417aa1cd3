"""A thread that a job depends on. Where it ends by an error, whoever asks it next is told.

Python prints what ends a thread and goes on, so a job would read, judge or watch nothing any more
and look healthy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipeline.errors import ThreadEndedError
from pipeline.readable import logger
from pipeline.runner.activity import activity

CLOSE_SECS = 20.0
"""How long the end of a job waits for a thread that may be in native code."""

_LOGGER = logger(__name__)


class JobThread:
    """Runs at once. It keeps no process from ending.

    Args:
      name: of the thread.
      run: what it does.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self._name = name
        self._work = run
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Makes sure that it did not end by an error.

        Raises:
          ThreadEndedError: it did; says by which.
        """
        if (error := self._failure) is not None:
            reason = f"{type(error).__name__}: {error}"
            raise ThreadEndedError(f"the thread '{self._name}' ended: {reason}") from error

    def join(self, timeout_secs: float | None = None) -> None:
        """Waits until it ends, or for so long."""
        self._thread.join(timeout_secs)
        if self._thread.is_alive():
            _LOGGER.warning("the thread '%s' is left behind, it does not end", self._name)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._failure = error
            _LOGGER.exception("the thread '%s' ended", self._name)
            activity.note()
