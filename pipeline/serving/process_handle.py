"""One object for each process of a job, found by whoever holds its handle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class _Closable(Protocol):
    def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closable)

_made: dict[tuple[type, str], Any] = {}
_lock = threading.RLock()  # making one object may ask for another


@dataclass(frozen=True)
class ProcessHandle(Generic[_T]):
    """What travels to the workers in place of the object itself: it can be pickled.

    The objects are held at module level, because whatever Beam holds for us (`Shared`) it drops as
    soon as another key is asked for.

    Attributes:
      job_key: names the job; a process normally sees only one.
      make: makes the object, where this process has none for the job yet.
    """

    job_key: str
    make: Callable[[], _T]

    def get(self) -> _T:
        """The object of this process: the same for every thread and step of the job."""
        key = (type(self), self.job_key)
        with _lock:
            if key not in _made:
                _made[key] = self.make()
            found: _T = _made[key]
            return found

    def close(self) -> None:
        """Closes and forgets the object, if this process has it."""
        with _lock:
            found = _made.pop((type(self), self.job_key), None)
        if found is not None:
            found.close()
