"""What the demo does to the models, one act after the other, and what has to become of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streaming.channel import Channel
from streaming.versions import place

_OVERDUE_SECS = 60


class UnexpectedError(Exception):
    """The models did not become what they should; the message says what came instead."""


@dataclass(frozen=True)
class Act:
    """Something that is done to the models.

    Attributes:
      label: a few words.
      perform: does it; returns how, in words.
      expected: outcomes of the release events that follow; Pub/Sub may deliver them in any order.
    """

    label: str
    perform: Callable[[], str]
    expected: frozenset[str]


def better_corrupt_back(channel: Channel, good: Path, versions: Path) -> list[Act]:
    """The three acts: a better forest, a corrupt one, and back to the first.

    Args:
      channel: to the job.
      good: folder with the better forest.
      versions: folder where the job looks for versions of the forest.
    """

    def better() -> str:
        place(good, versions / "2")
        return f"version 2 of the forest, sixty trees: {channel.announce(versions / '2')}"

    def corrupt() -> str:
        place(good, versions / "3", corrupt=True)
        return f"version 3 of the forest, cut short: {channel.announce(versions / '3')}"

    def back() -> str:
        return f"roll back: {channel.roll_back()}"

    return [
        Act("drops forest 2 (better)", better, frozenset({"accepted", "activated"})),
        Act("drops forest 3 (corrupt)", corrupt, frozenset({"rejected"})),
        Act("asks to roll back", back, frozenset({"rolled_back", "activated"})),
    ]


class Director:
    """Performs the acts at their times, but none before the one before has come to its end.

    Args:
      acts: what to do.
      secs: length of the whole; the acts share it evenly with a beginning and an end.
    """

    def __init__(self, acts: Sequence[Act], secs: float) -> None:
        self._waiting = list(acts)
        self._pause_secs = secs / (len(acts) + 1.5)
        self._due = self._pause_secs
        self._running: Act | None = None
        self._missing: frozenset[str] = frozenset()
        self._since = 0.0

    def is_over(self, at: float) -> bool:
        """Whether all acts have come to their ends, and the last release has served for a while."""
        return not self._waiting and self._running is None and at >= self._due

    def next_act(self, at: float) -> Act | None:
        """The act that is to be performed now, if any.

        Raises:
          UnexpectedError: the last one does not come to its end.
        """
        if self._running is not None:
            if at - self._since > _OVERDUE_SECS:
                missing = " and ".join(sorted(self._missing))
                raise UnexpectedError(
                    f"{self._running.label}: no release event {missing} in {_OVERDUE_SECS} s"
                )
            return None
        if not self._waiting or at < self._due:
            return None
        self._running, self._since = self._waiting.pop(0), at
        self._missing = self._running.expected
        return self._running

    def outcome(self, outcome: str, at: float) -> None:
        """Takes the outcome of a release event.

        Raises:
          UnexpectedError: it is none that should come now.
        """
        if self._running is None:
            return
        if outcome not in self._missing:
            expected = " and ".join(sorted(self._running.expected))
            raise UnexpectedError(
                f"{self._running.label}: expected the release events {expected}, found {outcome}"
            )
        self._missing -= {outcome}
        if not self._missing:
            self._running = None
            self._due = max(self._due, at) + self._pause_secs
