"""How the demo talks to the job, whatever lies between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from streaming.feed import Record

Kind = Literal["prediction", "dead letter", "release event"]


class Arrival(NamedTuple):
    """A line that came out of the job.

    Attributes:
      kind: what it is.
      content: JSON.
      at: when it came out, seconds since 1970.
    """

    kind: Kind
    content: bytes
    at: float


class Channel(Protocol):
    """Records go in, arrivals come out, and there is a way to ask for other models.

    Attributes:
      feed_secs: how often records should be sent.
    """

    feed_secs: float

    def arguments(self) -> Sequence[str]:
        """What main.py is to be told about inputs, outputs and refresh."""
        ...

    def send(self, records: Sequence[Record]) -> None:
        """Sends some records."""
        ...

    def arrivals(self) -> Iterable[Arrival]:
        """What came out since the last call."""
        ...

    def announce(self, version: Path) -> str:
        """Makes known that a version of the forest is there; says how, for the timeline."""
        ...

    def roll_back(self) -> str:
        """Asks for the release before; says how."""
        ...


class Outputs:
    """Where the files of a run are."""

    def __init__(self, folder: Path) -> None:
        self.predictions = folder / "predictions"
        self.dead_letters = folder / "dead-letters"
        self.release_events = folder / "release-events"
        self.accepted = folder / "accepted"
        self.page = folder / "run.html"

    def arguments(self) -> list[str]:
        """What main.py is to be told about them."""
        return [
            f"--output_path={self.predictions}/part",
            f"--dead_letter_path={self.dead_letters}/part",
            f"--release_events_path={self.release_events}/part",
            f"--release_dir={self.accepted}",
            f"--report_path={self.page}",
            "--output_file_secs=2",
        ]


def finished_lines(folder: Path) -> Iterable[bytes]:
    """All lines of the finished files in an output folder."""
    for path in sorted(folder.glob("*.jsonl")):
        if not path.name.startswith("."):
            yield from path.read_bytes().splitlines()
