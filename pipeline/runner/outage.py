"""Something that does not work for a while: said once when that begins, and once when it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable


class Outage:
    """Whether something that is tried again and again fails just now.

    Safe from several threads, which then speak as one.

    Args:
      logger: where both messages go, as warnings.
      what: what fails; ``%(what)s`` in the messages.
      begins: the first message, which may have ``%(why)s``.
      ends: the second one, which may have ``%(secs)f``: how long it lasted.
      clock: seconds, monotonic.
    """

    def __init__(
        self,
        logger: logging.Logger,
        what: str,
        *,
        begins: str,
        ends: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._what = what
        self._begins = begins
        self._ends = ends
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None

    def begin(self, why: object, trace: BaseException | None = None) -> None:
        """An attempt failed; said if it is the first since the last success.

        Args:
          why: the reason.
          trace: an error whose traceback is logged as well.
        """
        with self._lock:
            if self._since is not None:
                return
            self._since = self._clock()
            values = {"what": self._what, "why": why}
            self._logger.warning(self._begins, values, exc_info=trace)

    def end(self) -> None:
        """An attempt succeeded; said if the one before failed."""
        if self._since is None:  # without the lock: most attempts succeed
            return
        with self._lock:
            if self._since is not None:
                values = {"what": self._what, "secs": self._clock() - self._since}
                self._since = None
                self._logger.warning(self._ends, values)
