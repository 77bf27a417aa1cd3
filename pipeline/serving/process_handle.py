"""One object for each process: found by its kind and key, or by whoever holds its handle.

The objects are held at module level, because whatever Beam holds for us (`Shared`) it drops as soon
as another key is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

_Object = TypeVar("_Object")

_made: dict[tuple[type, Hashable], Any] = {}
_lock = threading.RLock()  # making one object may ask for another


def process_object(kind: type, key: Hashable, make: Callable[[], _Object]) -> _Object:
    """The object of this process of a kind and key: the same for every thread.

    Args:
      kind: tells keys of one use from those of another.
      key: names the job, or what else the object is for.
      make: makes the object, where this process has none yet.
    """
    found: _Object | None = _made.get((kind, key))  # without the lock: it is there mostly
    if found is None:
        with _lock:
            found = _made.get((kind, key))
            if found is None:
                found = _made[kind, key] = make()
    return found


def forget(kind: type, key: Hashable) -> Any:
    """Takes the object of a kind and key out; None if this process has none."""
    with _lock:
        return _made.pop((kind, key), None)


def forget_all(kind: type) -> list[Any]:
    """Takes out all objects of a kind."""
    with _lock:
        return [_made.pop(key) for key in list(_made) if key[0] is kind]


class _Closable(Protocol):
    def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closable)


@dataclass(frozen=True)
class ProcessHandle(Generic[_T]):
    """What travels to the workers instead of the object itself: it can be pickled.

    Attributes:
      job_key: names the job; a process normally sees only one.
      make: makes the object, where this process has none for the job yet.
    """

    job_key: str
    make: Callable[[], _T]

    def get(self) -> _T:
        """The object of this process: the same for every thread and step of the job."""
        return process_object(type(self), self.job_key, self.make)

    def close(self) -> None:
        """Closes and forgets the object, if this process has it."""
        if (found := forget(type(self), self.job_key)) is not None:
            found.close()
