"""What happened, and when: everything that the summary and the picture are made from.

Times are seconds since the feeding began; what came before has a negative one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

Line = dict[str, Any]

MarkKind = Literal["told", "accepted", "rejected", "rolled back", "activated", "failed"]


class Prediction(NamedTuple):
    """One record that was predicted.

    Attributes:
      at: when it came out.
      latency_ms: since it was sent.
      generation: of the release that served it.
      forest_right, ensemble_right: whether they knew the digit.
    """

    at: float
    latency_ms: float
    generation: int
    forest_right: bool
    ensemble_right: bool

    @property
    def was_fed(self) -> bool:
        """Whether its record was sent after the feeding began.

        Records before that waited for the job to start, which says nothing about its latency.
        """
        return self.at >= self.latency_ms / 1000


class Mark(NamedTuple):
    """Something that belongs into the picture.

    Attributes:
      at: when.
      kind: what; "told" is what the demo itself did.
      label: a few words.
    """

    at: float
    kind: MarkKind
    label: str


@dataclass
class Share:
    """How many of some predictions are right."""

    count: int = 0
    forest: int = 0
    ensemble: int = 0

    def add(self, prediction: Prediction) -> None:
        """Counts one more."""
        self.count += 1
        self.forest += prediction.forest_right
        self.ensemble += prediction.ensemble_right


@dataclass
class History:
    """One run.

    Attributes:
      began: when the feeding began, seconds since 1970.
      fed_secs: for how long it went on.
      predictions: as they came out.
      dead_letters: when each came out.
      marks: in order.
      releases: generation -> versions of the models, of those that predicted something.
      shares: generation -> how good it was.
    """

    began: float
    fed_secs: float = 0.0
    predictions: list[Prediction] = field(default_factory=list)
    dead_letters: list[float] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    releases: dict[int, dict[str, str]] = field(default_factory=dict)
    shares: dict[int, Share] = field(default_factory=dict)

    def prediction(self, line: Line, at: float) -> bool:
        """Notes a prediction that came out at `at` (seconds since 1970).

        Returns:
          whether it is the first one of its release.
        """
        release, outputs, digit = (
            line["release"],
            line["predictions"],
            line["pass_through"]["digit"],
        )
        generation = release["generation"]
        first = generation not in self.releases
        found = Prediction(
            at - self.began,
            (at - seconds(line["event_time"])) * 1000,
            generation,
            outputs["forest_label"] == digit,
            outputs["label"] == digit,
        )
        self.predictions.append(found)
        self.releases[generation] = release["models"]
        self.shares.setdefault(generation, Share()).add(found)
        return first

    def dead_letter(self, at: float) -> None:
        """Notes a dead letter that came out at `at` (seconds since 1970)."""
        self.dead_letters.append(at - self.began)

    def mark(self, at: float, kind: MarkKind, label: str) -> None:
        """Notes something for the picture that happened at `at` (seconds since 1970)."""
        self.marks.append(Mark(at - self.began, kind, label))

    def fed(self) -> Sequence[Prediction]:
        """The predictions of records that were sent after the feeding began."""
        return [p for p in self.predictions if p.was_fed]


def seconds(time: str) -> float:
    """A time as it stands in outputs and events -> seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()
