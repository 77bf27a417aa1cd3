"""What a run has to show, each assertion with its figure, and what else it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

ASSERTIONS = {
    "batch_ends": "the batch job ends well",
    "batch_predictions": "the batch job predicts exactly what main.py predicts here",
    "batch_dead_letters": "the batch job sets aside exactly the broken lines",
    "stream_accounts": "every message of the stream comes out as a prediction or a dead letter",
    "forest_2_accepted": "forest/2 is accepted within a minute",
    "forest_2_serves": "forest/2 is activated and serves within a minute",
    "corrupt_rejected": "a corrupt forest/3 is rejected, and serves nothing",
    "rollback": "a rollback brings forest/1 back",
    "update": "--update with the same parameters keeps the release",
    "drain": "the stream drains, and all that was sent came out",
}


class Outcome(Enum):
    """What became of an assertion."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Assertion:
    """One assertion of the run.

    Attributes:
      text: what has to be so.
      outcome: whether it is.
      figure: what was found.
    """

    text: str
    outcome: Outcome
    figure: str


class Findings:
    """Takes what is found, and says it at once.

    Args:
      say: prints a line.
      is_dry: whether nothing was done, so that nothing holds or fails.

    Attributes:
      facts: measurements, by what was measured.
    """

    def __init__(self, say: Callable[[str], None], *, is_dry: bool = False) -> None:
        self._say = say
        self._is_dry = is_dry
        self._found: dict[str, tuple[bool, str]] = {}
        self.facts: dict[str, str] = {}

    def expect(self, name: str, holds: bool, figure: str) -> None:
        """Notes whether an assertion holds, and by which figure."""
        if self._is_dry:
            self._say(f"  would check: {ASSERTIONS[name]}")
            return
        self._found[name] = (holds, figure)
        self._say(f"  {'holds' if holds else 'FAILS'}: {ASSERTIONS[name]}: {figure}")

    def measure(self, what: str, value: str) -> None:
        """Notes a measurement."""
        if not self._is_dry:
            self.facts[what] = value
            self._say(f"  {what}: {value}")

    def assertions(self) -> list[Assertion]:
        """All of them, also those that were not reached."""
        found = []
        for name, text in ASSERTIONS.items():
            holds, figure = self._found.get(name, (None, ""))
            outcome = {None: Outcome.NOT_REACHED, True: Outcome.HOLDS, False: Outcome.FAILS}[holds]
            found.append(Assertion(text, outcome, figure))
        return found

    @property
    def all_hold(self) -> bool:
        """Whether every assertion was reached and holds."""
        return all(each.outcome is Outcome.HOLDS for each in self.assertions())
