"""What is said as it happens, a line each, with the time."""

from __future__ import annotations

import sys
import textwrap
from typing import Literal, NamedTuple

Speaker = Literal["demo", "models", "stream"]
WIDTH = 100


class Entry(NamedTuple):
    """One line of the timeline.

    Attributes:
      at: seconds since the feeding began.
      who: the demo, which did something; the models, which became of it; the stream, as it goes.
      text: what.
    """

    at: float
    who: Speaker
    text: str


class Timeline:
    """Prints entries in the order of their times, and keeps them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        """Those that were printed."""
        self._waiting: list[Entry] = []
        self._terminal = sys.stdout.isatty()

    def say(self, at: float, who: Speaker, text: str) -> None:
        """One entry; it is printed later, since what happened before may be told after it."""
        self._waiting.append(Entry(at, who, text))

    def print_until(self, at: float) -> None:
        """Prints the entries up to a time."""
        due = sorted(entry for entry in self._waiting if entry.at <= at)
        self._waiting = [entry for entry in self._waiting if entry.at > at]
        self.entries += due
        for entry in due:
            self._print(*entry)

    def _print(self, at: float, who: Speaker, text: str) -> None:
        start = f"{max(at, 0):6.1f} s  {who:6}  "
        shown = textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
        if self._terminal and who != "stream":
            shown = f"\033[1m{shown}\033[0m"
        print(shown, flush=True)
