"""How many rows a call may have where memory sets the limit."""

from __future__ import annotations


class MemoryLimit:
    """Falls to what fitted when memory runs out, and then grows again, a row at a time.

    Memory may be short for a moment only, while the next version is loaded beside this one. So the
    limit comes back, slowly enough to run into the wall but rarely: additive increase,
    multiplicative decrease (Chiu and Jain 1989, doi:10.1016/0169-7552(89)90019-6). Not safe for
    several threads.

    Args:
      most: the limit as long as memory suffices; None for none.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._rows = most

    @property
    def rows(self) -> int | None:
        """Most rows of a call now; None where nothing limits it."""
        return self._rows

    def allow(self, most: int) -> None:
        """As many rows may be tried from now on, unless memory sets the limit."""
        if self._rows == self._most:
            self._rows = self._most = most

    def fall(self, rows: int) -> None:
        """More than `rows` did not fit."""
        self._rows = max(1, rows)

    def grow(self) -> None:
        """All that was tried did fit."""
        if self._rows is not None and (self._most is None or self._rows < self._most):
            self._rows += 1
