"""What a release can be in a process, and what may become of it.

    unknown -> aspired -> preparing -> active -> previous -> unknown
                  ^          |  |        |  ^        ^
                  |  retried |  v        v  |        |
                tried <------+ given up  aside ------+

A release serves only after it was prepared. `serving.switching` decides what happens; whatever it
decides passes `Lives.moved`, which refuses what is not drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from pipeline.batch.release import Release


class State(Enum):
    """What a release is in this process. Of each but UNKNOWN there is one release at most."""

    UNKNOWN = "unknown"
    """Never heard of, or of no concern any more."""
    ASPIRED = "aspired"
    """It should serve, and is still to be prepared: for the first time, or again after a pause."""
    TRIED = "tried"
    """Somebody finds out whether it may serve."""
    PREPARING = "preparing"
    """Its models are loaded, checked and warmed."""
    ACTIVE = "active"
    """It serves."""
    ASIDE = "aside"
    """It served, and makes room in memory while another one is prepared or tried."""
    PREVIOUS = "previous"
    """It served before: batches on their way still name it."""
    GIVEN_UP = "given up"
    """It could not be prepared, and nobody asked for a newer one since."""


_LEGAL: Mapping[State, frozenset[State]] = {
    State.UNKNOWN: frozenset({State.ASPIRED, State.TRIED, State.PREPARING}),
    State.ASPIRED: frozenset({State.PREPARING, State.UNKNOWN}),
    State.TRIED: frozenset({State.ASPIRED, State.UNKNOWN}),
    State.PREPARING: frozenset({State.ACTIVE, State.ASPIRED, State.GIVEN_UP, State.UNKNOWN}),
    State.ACTIVE: frozenset({State.PREVIOUS, State.ASIDE}),
    State.ASIDE: frozenset({State.PREVIOUS, State.ACTIVE}),
    State.PREVIOUS: frozenset({State.UNKNOWN}),
    State.GIVEN_UP: frozenset({State.TRIED, State.PREPARING, State.UNKNOWN}),
}


class IllegalTransitionError(RuntimeError):
    """A release was to become what it cannot become: a defect of this program."""


@dataclass(frozen=True)
class Life:
    """One release in this process.

    Attributes:
      release: which.
      state: what it is.
      asked_at: when somebody aspired to it; None if nobody did.
      attempts: how often it was tried to prepare it.
      due_at: when it may be prepared.
      error: why the last attempt failed.
    """

    release: Release
    state: State
    asked_at: float | None = None
    attempts: int = 0
    due_at: float = 0.0
    error: Exception | None = None


@dataclass(frozen=True)
class Lives:
    """The releases that a process knows of, by state: an immutable snapshot."""

    _by_state: Mapping[State, Life] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, *states: State) -> Life | None:
        """The release in the first of some states that has one."""
        return next((self._by_state[s] for s in states if s in self._by_state), None)

    def release(self, *states: State) -> Release | None:
        """As `get`, the release alone."""
        life = self.get(*states)
        return life.release if life else None

    def of(self, release: Release) -> Life:
        """What a release is."""
        found = (life for life in self._by_state.values() if life.release == release)
        return next(found, Life(release, State.UNKNOWN))

    def moved(self, *moves: Life) -> Lives:
        """The snapshot after some releases changed their states, in this order.

        Raises:
          IllegalTransitionError: one cannot change so, or another release has that state.
        """
        after = dict(self._by_state)
        for new in moves:
            old = Lives(after).of(new.release)
            other = after.get(new.state)
            if new.state not in _LEGAL[old.state] or other is not None:
                raise IllegalTransitionError(
                    f"release {new.release.generation} cannot become {new.state.value}: it is "
                    f"{old.state.value}" + (f", {other.release.generation} is" if other else "")
                )
            after.pop(old.state, None)
            if new.state is not State.UNKNOWN:
                after[new.state] = new
        return Lives(MappingProxyType(after))

    def dropped(self, *states: State) -> list[Life]:
        """Moves that forget the releases in some states, where there are any."""
        lives = (self.get(state) for state in states)
        return [Life(life.release, State.UNKNOWN) for life in lives if life is not None]
