"""Accepted releases for people and scripts: what changed from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeline.batch.release import ModelVersion
from pipeline.readable import readable
from pipeline.releases.state import Accepted


@dataclass(frozen=True)
class Change:
    """One model that a release changed.

    Attributes:
      before: its previous version; None if that is not known.
      after: its version since then.
    """

    before: ModelVersion | None
    after: ModelVersion

    def __str__(self) -> str:
        model, after = self.after.model, self.after.label
        if self.before is None:
            return f"{model} {after}"
        if self.before.uri == self.after.uri:
            return f"{model} {after} overwritten"
        if self.before.label == after:
            return f"{model} {self.before.uri} -> {self.after.uri}"
        return f"{model} {self.before.label} -> {after}"


@dataclass(frozen=True)
class Entry:
    """One accepted release among the others.

    Attributes:
      accepted: the accepted release.
      changes: the changed models; all models if the release before is not known.
      current: whether it is the newest one.
      is_rollback: whether it went back to the versions of an earlier one.
      returned_to: the generation of that one, if it is known.
    """

    accepted: Accepted
    changes: tuple[Change, ...]
    current: bool
    is_rollback: bool = False
    returned_to: int | None = None

    @property
    def reason(self) -> str:
        """Its origin, in words."""
        candidate = self.accepted.candidate
        if candidate is None:
            return "the launch of a job"
        if not self.is_rollback:
            return candidate.source
        to = f" to {self.returned_to}" if self.returned_to else ""
        return f"rollback{to}, {candidate.source}"

    def as_json(self) -> dict[str, Any]:
        """The entry as plain data."""
        release, candidate = self.accepted.release, self.accepted.candidate
        return {
            "generation": release.generation,
            "release_id": release.release_id,
            "accepted": _utc(self.accepted),
            "current": self.current,
            "models": {
                v.model: {"version": v.label, "uri": v.uri, "digest": v.digest}
                for v in release.versions
            },
            "changes": {
                change.after.model: {
                    "from": change.before and change.before.uri,
                    "to": change.after.uri,
                }
                for change in self.changes
            },
            "rollback": self.is_rollback,
            "returned_to": self.returned_to,
            "candidate": candidate and candidate.as_json(),
        }


def history_entries(history: Sequence[Accepted]) -> list[Entry]:
    """The releases, newest first.

    Args:
      history: oldest first.
    """
    made: list[Entry] = []
    for before, accepted in pairwise([None, *history]):
        assert accepted is not None
        known = {v.model: v for v in before.release.versions} if before else {}
        changes = tuple(
            Change(known.get(v.model), v)
            for v in accepted.release.versions
            if known.get(v.model) != v
        )
        # A rollback takes over what the release it goes back to remembers; every other release
        # returns to the one before it.
        back = accepted.returns_to != accepted.release.generation - 1
        is_rollback = accepted.candidate is not None and back
        returned_to = _target(accepted, history) if is_rollback else None
        made.append(Entry(accepted, changes, accepted is history[-1], is_rollback, returned_to))
    return made[::-1]


def _target(accepted: Accepted, history: Sequence[Accepted]) -> int | None:
    """The newest generation before a rollback that has its versions and its memory."""
    release = accepted.release
    same = (
        other.release.generation
        for other in history
        if other.release.versions == release.versions
        and other.returns_to == accepted.returns_to
        and other.release.generation < release.generation
    )
    return max(same, default=None)


def table_lines(made: Sequence[Entry]) -> list[str]:
    """The entries as lines of text, the current one marked with a star."""
    rows = [("", "generation", "accepted (UTC)", "release", "changes", "proposed by")]
    for entry in made:
        release = entry.accepted.release
        rows.append(
            (
                "*" if entry.current else "",
                str(release.generation),
                _utc(entry.accepted).replace("T", " ").rstrip("Z"),
                release.release_id,
                readable(", ".join(map(str, entry.changes)) or "nothing"),
                readable(entry.reason),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i == 1 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _utc(accepted: Accepted) -> str:
    text = accepted.time.replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{text}Z"
