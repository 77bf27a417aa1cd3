"""Which release a process prepares, switches to or gives up: pure functions of a snapshot.

Each takes the releases as they are (`Lives`) and returns them as they should be; the same object
where nothing changes. Nothing here waits, loads or knows of threads.
"""

from __future__ import annotations

import math
from dataclasses import replace

from pipeline.batch.release import Release
from pipeline.serving.lifecycle import Life, Lives, State

_ASKED = (State.ASPIRED, State.PREPARING, State.GIVEN_UP)
_KEPT = tuple(set(State) - {State.UNKNOWN, State.GIVEN_UP})


def aspire(lives: Lives, release: Release, now: float) -> Lives:
    """Somebody asks for `release`. It replaces an older one; as new a one makes it superfluous."""
    known = (lives.release(state) for state in (*_ASKED, State.ACTIVE, State.ASIDE))
    if any(other and other.generation >= release.generation for other in known):
        return lives
    return lives.moved(
        *lives.dropped(State.ASPIRED, State.GIVEN_UP),
        Life(release, State.ASPIRED, asked_at=now, due_at=now),
    )


def next_action(lives: Lives, now: float) -> Release | float:
    """The release that is to be prepared now, or for how many seconds there is none."""
    aspired = lives.get(State.ASPIRED)
    if aspired is None:
        return math.inf
    return aspired.release if aspired.due_at <= now else aspired.due_at - now


def is_newer(lives: Lives, release: Release) -> bool:
    """Whether nothing as new as `release` serves, or will once it need not stand aside."""
    serving = lives.release(State.ACTIVE, State.ASIDE)
    return serving is None or serving.generation < release.generation


def begin(lives: Lives, release: Release) -> Lives:
    """`release` is prepared from now on."""
    life = lives.of(release)
    attempts = life.attempts if life.state is State.ASPIRED else 0
    return lives.moved(replace(life, state=State.PREPARING, attempts=attempts + 1))


def stand_aside(lives: Lives) -> Lives:
    """What serves makes room for another release."""
    active = lives.get(State.ACTIVE)
    if active is None:
        return lives
    return lives.moved(*lives.dropped(State.PREVIOUS), replace(active, state=State.ASIDE))


def succeed(lives: Lives) -> Lives:
    """The release that was prepared serves from now on; what it replaces becomes the previous."""
    ready = lives.get(State.PREPARING)
    assert ready is not None
    moves: list[Life] = []
    if (replaced := lives.get(State.ACTIVE, State.ASIDE)) is not None:
        moves += [*lives.dropped(State.PREVIOUS), replace(replaced, state=State.PREVIOUS)]
    asked = lives.dropped(State.ASPIRED, State.GIVEN_UP)
    moves += [one for one in asked if one.release.generation <= ready.release.generation]
    return lives.moved(*moves, replace(ready, state=State.ACTIVE, error=None))


def fail(lives: Lives, error: Exception, due_at: float | None) -> Lives:
    """The release that was prepared cannot serve; what stood aside does again.

    Args:
      lives: the releases.
      error: why.
      due_at: when it is prepared again, unless a newer one is asked for; None gives it up.
    """
    failed = lives.get(State.PREPARING)
    assert failed is not None
    if lives.get(State.ASPIRED) is not None:
        return abandon(lives)
    if due_at is None:
        given_up = replace(failed, state=State.GIVEN_UP, error=error)
        return lives.moved(*_returned(lives), *lives.dropped(State.GIVEN_UP), given_up)
    again = replace(failed, state=State.ASPIRED, error=error, due_at=due_at)
    return lives.moved(*_returned(lives), again)


def abandon(lives: Lives) -> Lives:
    """Nobody needs the release any more that was prepared; what stood aside serves again."""
    return lives.moved(*_returned(lives), *lives.dropped(State.PREPARING))


def begin_trial(lives: Lives, release: Release) -> Lives:
    """`release` is tried from now on; one that is known for another reason stays what it is."""
    if lives.of(release).state not in (State.UNKNOWN, State.GIVEN_UP):
        return lives
    return lives.moved(Life(release, State.TRIED))


def end_trial(lives: Lives, release: Release) -> Lives:
    """The trial is over. If somebody asked for `release`, what stands aside waits for it."""
    if has_passed(lives, release):
        return lives
    return lives.moved(*_returned(lives), *lives.dropped(State.TRIED))


def has_passed(lives: Lives, release: Release) -> bool:
    """Whether somebody asked for a release that was tried."""
    return lives.of(release).state is State.ASPIRED


def forget_failure(lives: Lives) -> Lives:
    """Who was told why a release was given up may ask for it again."""
    return lives.moved(*lives.dropped(State.GIVEN_UP))


def lag_secs(lives: Lives, now: float) -> float:
    """How long a newer release than the active one has been asked for; 0 if there is none."""
    if lives.get(State.ACTIVE) is None:
        return 0.0
    asked = (life.asked_at for state in _ASKED if (life := lives.get(state)))
    return next((now - asked_at for asked_at in asked if asked_at is not None), 0.0)


def is_decided(lives: Lives, generation: int) -> bool | None:
    """Whether that generation or a newer one serves; False if given up, None if still open."""
    for state, answer in ((State.ACTIVE, True), (State.GIVEN_UP, False)):
        release = lives.release(state)
        if release is not None and release.generation >= generation:
            return answer
    return None


def kept(lives: Lives) -> list[Release]:
    """The releases whose versions stay in memory and on disk."""
    return [release for state in _KEPT if (release := lives.release(state)) is not None]


def _returned(lives: Lives) -> list[Life]:
    """The move that returns the release that stands aside to service, if there is one."""
    aside = lives.get(State.ASIDE)
    return [] if aside is None else [replace(aside, state=State.ACTIVE)]
