"""A verdict as the release log keeps it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args

import orjson

from pipeline.releases.candidate import Candidate, Outcome, ReleaseEvent
from pipeline.spec.plain_data import shown


@dataclass(frozen=True)
class RecordedVerdict:
    """What a gate said of a candidate.

    Attributes:
      outcome: see ReleaseEvent.
      time: aware, UTC.
      reason: see ReleaseEvent.
      generation: of the release that came of it; None if there is none.
    """

    outcome: Outcome
    time: datetime
    reason: str | None
    generation: int | None


def name_of(candidate: Candidate, binds: str) -> str:
    """The name of its file.

    Args:
      candidate: on which the verdict is.
      binds: the build and the ensemble that it holds for: others come to one of their own.
    """
    told = f"{candidate.candidate_id}\n{binds}".encode(errors="surrogatepass")
    return f"{hashlib.sha256(told).hexdigest()[:32]}.json"


def dump(event: ReleaseEvent, binds: str) -> str:
    """A verdict as JSON text."""
    candidate, release = event.candidate, event.release
    data: dict[str, Any] = {
        "format": 1,
        "outcome": event.outcome,
        "time": event.time.isoformat(),
        "reason": event.reason,
        "generation": release and release.generation,
        "candidate": candidate and {**candidate.as_json(), "sequence_us": candidate.sequence_us},
        "binds": binds,
    }
    try:
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    except TypeError:  # a name that is not UTF-8, which only people read
        del data["candidate"]
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def parse(text: str) -> RecordedVerdict:
    """The verdict in a text made by `dump`.

    Raises:
      ValueError: it is damaged, or something else made it.
    """
    data = orjson.loads(text)
    try:
        outcome, generation, reason = data["outcome"], data["generation"], data["reason"]
        if outcome not in get_args(Outcome) or not isinstance(reason, str | None):
            raise ValueError(f"not a verdict: found {shown(data)}")
        if not isinstance(generation, int | None):
            raise ValueError(f"not a verdict: 'generation' is {shown(generation)}")
        time = datetime.fromisoformat(data["time"])
        return RecordedVerdict(cast("Outcome", outcome), time, reason, generation)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a verdict: {type(error).__name__}: {error}") from error
