"""A refresh source's proposal, and the event that says what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

import orjson

from pipeline.batch.release import Release
from pipeline.readable import readable, without_secrets
from pipeline.releases.version_rule import VersionRule


@dataclass(frozen=True)
class Candidate:
    """A proposal to change the release; exactly one of `models` to `passed_over` is set.

    Attributes:
      candidate_id: the name of the proposal; the same proposal seen again has the same id.
      source: who proposes, for people: "watch gs://b/clf/*", "event projects/p/subscriptions/s".
      sequence_us: the publish or modification time, UTC microseconds since 1970.
      models: model -> URI, for the models that should change.
      manifest_uri: the URI of a manifest, which describes a whole release.
      rollback_to: a generation accepted before, or 0 for the one before the current.
      passed_over: not a proposal but the reason why the source passes over something that somebody
        may be waiting for. The gate only reports it.
      rule: the order of the versions under the source's pattern, if it has a pattern.
      ordered: whether a person made it through the release folder: its first verdict holds for
        every build.
      unknown: see :mod:`pipeline.batch.wire`.
    """

    wire_form: ClassVar[str] = "candidate/1"

    candidate_id: str
    source: str
    sequence_us: int
    models: Mapping[str, str] = field(default_factory=dict)
    manifest_uri: str | None = None
    rollback_to: int | None = None
    passed_over: str | None = None
    rule: VersionRule | None = None
    ordered: bool = False
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The candidate as events show it."""
        found: dict[str, Any] = {"id": self.candidate_id, "source": self.source}
        if self.models:
            found["models"] = dict(self.models)
        if self.manifest_uri is not None:
            found["release"] = self.manifest_uri
        if self.rollback_to is not None:
            found["rollback_to"] = self.rollback_to
        return found


Outcome = Literal["accepted", "rejected", "rolled_back", "ignored", "activated", "failed"]


@dataclass(frozen=True)
class ReleaseEvent:
    """One line of the release events.

    Attributes:
      outcome: "accepted", "rejected" and "rolled_back" are the gate's verdicts; "ignored" is a
        candidate that changes nothing (seen before, or older than what serves); "activated" and
        "failed" say what became of an accepted release in one process.
      time: aware, UTC.
      candidate: the candidate, for verdicts.
      release: the release that came of it, or that a process prepared.
      reason: why it was rejected, ignored or failed, made readable.
      details: durations in seconds, process name, attempt and so on.
      unknown: see :mod:`pipeline.batch.wire`.
    """

    wire_form: ClassVar[str] = "release-event/1"

    outcome: Outcome
    time: datetime
    candidate: Candidate | None = None
    release: Release | None = None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reason is not None:
            object.__setattr__(self, "reason", readable(self.reason))

    def __str__(self) -> str:
        """The event as people read it in a log."""
        parts: list[str] = [self.outcome]
        if self.release is not None:
            models = ", ".join(f"{v.model} {v.label}" for v in self.release.versions)
            parts.append(f"release generation {self.release.generation} ({models})")
        if self.candidate is not None:
            parts.append(f"proposed by {self.candidate.source}")
        if "prepare_secs" in self.details:
            parts.append(f"after {self.details['prepare_secs']} s on {self.details['process']}")
        text = " ".join(parts)
        return f"{text}: {self.reason}" if self.reason else text

    def line(self) -> bytes:
        """The event as one JSON line with its newline, without the secrets of URLs."""
        found: dict[str, Any] = {
            "event": self.outcome,
            "time": self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if self.candidate is not None:
            found["candidate"] = self.candidate.as_json()
        if self.release is not None:
            found["release"] = self.release.as_json()
        if self.reason is not None:
            found["reason"] = self.reason
        found |= self.details
        try:
            text = orjson.dumps(found).decode()
        except TypeError:  # a local name that is not UTF-8
            text = json.dumps(found)
        return f"{without_secrets(text)}\n".encode()
