"""What happens to a stream in a soak: acts in an order that a seed decides."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What may happen."""

    VERSION = "a new version"
    BURST = "several versions at once"
    SLOW = "a version that appears bit by bit"
    CORRUPT = "a corrupt version"
    ROLLBACK = "a rollback"
    STOP = "the job is stopped and started again"
    PAUSE = "the job gets no processor for a while"
    KILL = "the job is killed and started again"
    CUT = "storage is out of reach for a while"


EACH_RECORD_ONCE = tuple(kind for kind in Kind if kind is not Kind.KILL)
"""Of a job that is killed, records may come out twice; of all others each comes out once."""


@dataclass(frozen=True)
class Act:
    """One event of a soak.

    Attributes:
      at_secs: since its start, at the earliest.
      kind: what happens.
      draw: 0 to 1, for whatever is to be chosen.
    """

    at_secs: float
    kind: Kind
    draw: float


def acts(seed: int, secs: float, every_secs: float, kinds: Sequence[Kind]) -> Iterator[Act]:
    """The acts of a soak: each kind comes once in each round, in an order of the round's own.

    Args:
      seed: the same one gives the same acts.
      secs: no act is later.
      every_secs: on average between two acts.
      kinds: what may happen.
    """
    chance = random.Random(seed)
    at_secs = 0.0
    while True:
        for kind in chance.sample(kinds, len(kinds)):
            at_secs += every_secs * chance.uniform(0.5, 1.5)
            if at_secs > secs:
                return
            yield Act(at_secs, kind, chance.random())
