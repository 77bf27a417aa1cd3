"""How sources without news wait, where the runner does not wait for them.

Beam's local runner schedules a deferred remainder again at once, whatever delay it asked for, and
runs the bundles of all stages one after the other in one thread. An idle source would spin; one
that slept would hold up all others. So idle sources rest here, and news of any source ends the
rest of all.
"""

from __future__ import annotations

import threading


class Activity:
    """Counts what happens in the sources of a process. Safe from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """What to pass to `rest` the first time, to rest until the next news."""
        with self._changed:
            return self._count

    def note(self) -> None:
        """Something happened: a record arrived, or was emitted."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def rest(self, seen: int, at_most_secs: float) -> int:
        """Waits until something happens; not at all if it did since `seen` was returned.

        Returns:
          What to pass as `seen` the next time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen, at_most_secs)
            return self._count


activity = Activity()
