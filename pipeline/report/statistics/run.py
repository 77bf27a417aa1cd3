"""The statistics of a run as values that merge: of one batch, of a bundle, of the whole run.

Merging is associative and commutative, and the whole does not depend on how it was cut into parts
(except for more than `label_counts.MOST_LABELS` different texts). The size is bounded: some
tens of kB for each column at most.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

import numpy as np

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.columns import presence_of, take, values_of
from pipeline.batch.release import ModelVersion
from pipeline.releases.candidate import ReleaseEvent
from pipeline.report.statistics import agreement, served, timeline
from pipeline.report.statistics import columns as column_statistics
from pipeline.report.statistics import dead_letters as dead_letter_sample
from pipeline.report.statistics.agreement import Agreement, Opinions, Pair
from pipeline.report.statistics.columns import ColumnStatistics
from pipeline.report.statistics.dead_letters import DeadLetters, Reason
from pipeline.report.statistics.served import Releases, Served
from pipeline.report.statistics.timeline import Timeline
from pipeline.report.statistics.watched_columns import WatchedColumns

MOST_EVENTS = 100
_NEVER_YET, _NEVER_SINCE = 1 << 62, 0

_K = TypeVar("_K")
_T = TypeVar("_T")


@dataclass(frozen=True)
class LoadedModel:
    """A model version as a process has it in memory.

    Attributes:
      version: the version.
      device: the device that it runs on.
      size_bytes: see `backends.base.Servable`.
    """

    version: ModelVersion
    device: str
    size_bytes: int


@dataclass(frozen=True, order=True)
class Event:
    """The outcome of a proposed release.

    Attributes:
      time_us: its time, microseconds since 1970.
      outcome: see `candidate.Outcome`.
      generation: the release's generation, 0 if there is no release.
      models: model -> version, of the release or as proposed, as text.
      source: who proposed it.
      reason: why it came to nothing, if it did.
    """

    time_us: int
    outcome: str
    generation: int
    models: str
    source: str
    reason: str


@dataclass(frozen=True)
class RunStatistics:
    """The statistics of some records. Immutable.

    Attributes:
      predictions, dead_letters: records of each kind.
      batches: the number of finished batches.
      began_us, ended_us: the times at which the first bundle started and the last batch was
        finished, microseconds since 1970.
      columns: name -> statistics of its values.
      agreements: pair of comparable columns -> their agreement.
      reasons: the dead letters by reason.
      releases: what each of them did.
      models: versions that processes had in memory; of many releases those of the last.
      timeline: records by the time at which they were finished.
      events: the last MOST_EVENTS events of releases, in order of time.
    """

    wire_form: ClassVar[str] = "run-statistics/2"

    predictions: int = 0
    dead_letters: int = 0
    batches: int = 0
    began_us: int = _NEVER_YET
    ended_us: int = _NEVER_SINCE
    columns: Mapping[str, ColumnStatistics] = field(default_factory=dict)
    agreements: Mapping[Pair, Agreement] = field(default_factory=dict)
    reasons: Mapping[Reason, DeadLetters] = field(default_factory=dict)
    releases: Releases = field(default_factory=Releases)
    models: frozenset[LoadedModel] = frozenset()
    timeline: Timeline = field(default_factory=Timeline)
    events: tuple[Event, ...] = ()

    @property
    def records(self) -> int:
        """Predictions and dead letters together."""
        return self.predictions + self.dead_letters

    @property
    def secs(self) -> float:
        """From the start of the first bundle to the end of the last batch; 0 without any."""
        return max(0.0, (self.ended_us - self.began_us) / 1e6)


def from_batch(
    batch: Batch,
    watched: WatchedColumns,
    now_us: int,
    least_shifts: Mapping[str, int] | None = None,
) -> RunStatistics:
    """The statistics of one finished batch, whose rows are its predictions.

    Args:
      batch: the batch, with the columns of the whole graph.
      watched: the columns of which to make statistics.
      now_us: when it was finished, microseconds since 1970.
      least_shifts: column -> shift of a sketch that the result will be merged with.
    """
    rows, dead, release = len(batch), len(batch.rejects), batch.release
    rejected = sum(reject.release is not None for reject in batch.rejects)
    columns, agreements = _of_columns(batch, watched, least_shifts or {}) if rows else ({}, {})
    generation = release.generation if release else 0
    return RunStatistics(
        predictions=rows,
        dead_letters=dead,
        batches=1,
        began_us=now_us,
        ended_us=now_us,
        columns=columns,
        agreements=agreements,
        reasons=dead_letter_sample.by_reason(batch.rejects),
        releases=(
            Releases({release: Served(rows, rejected, now_us, now_us)})
            if release and rows + rejected
            else Releases()
        ),
        timeline=timeline.timeline_at(
            now_us,
            {generation: rows} if rows else {},
            dead,
            [(now_us - origin.event_time_us) / 1000 for origin in batch.origins or ()],
        ),
    )


def from_refused(reject: Reject, generation: int, now_us: int) -> RunStatistics:
    """The correction of a batch's statistics after a sink refused one of its rows.

    Args:
      reject: the row.
      generation: the generation of the release that served it.
      now_us: when it was refused, microseconds since 1970.
    """
    return RunStatistics(
        predictions=-1,
        dead_letters=1,
        reasons=dead_letter_sample.by_reason([reject]),
        timeline=timeline.timeline_at(now_us, {generation: -1}, 1, []),
        releases=Releases(refused={generation: 1}),
    )


def from_event(event: ReleaseEvent) -> RunStatistics:
    """The statistics that hold the outcome of a proposed release."""
    candidate, release = event.candidate, event.release
    if release is not None:
        models = {version.model: version.label for version in release.versions}
    else:
        models = dict(candidate.models) if candidate else {}
    return RunStatistics(
        events=(
            Event(
                int(event.time.timestamp() * 1e6),
                event.outcome,
                release.generation if release else 0,
                ", ".join(f"{model} {version}" for model, version in sorted(models.items())),
                candidate.source if candidate else "",
                event.reason or "",
            ),
        )
    )


def merged(parts: Sequence[RunStatistics]) -> RunStatistics:
    """The statistics of all parts together, any number."""
    if len(parts) == 1:
        return parts[0]
    releases = served.merged([part.releases for part in parts])
    models = frozenset().union(*(part.models for part in parts))
    if releases.earlier is not None:
        kept = {version for release in releases.each for version in release.versions}
        models = frozenset(model for model in models if model.version in kept)
    return RunStatistics(
        predictions=sum(part.predictions for part in parts),
        dead_letters=sum(part.dead_letters for part in parts),
        batches=sum(part.batches for part in parts),
        began_us=min((part.began_us for part in parts), default=_NEVER_YET),
        ended_us=max((part.ended_us for part in parts), default=_NEVER_SINCE),
        columns={
            name: column_statistics.merged(some)
            for name, some in _together([part.columns for part in parts]).items()
        },
        agreements=agreement.merged(part.agreements for part in parts),
        reasons=dead_letter_sample.merged(part.reasons for part in parts),
        releases=releases,
        models=models,
        timeline=timeline.merged([part.timeline for part in parts], releases.oldest),
        events=tuple(
            sorted(heapq.nlargest(MOST_EVENTS, {e for part in parts for e in part.events}))
        ),
    )


def _of_columns(
    batch: Batch, watched: WatchedColumns, least_shifts: Mapping[str, int]
) -> tuple[dict[str, ColumnStatistics], dict[Pair, Agreement]]:
    said: dict[str, Opinions] = {}
    columns: dict[str, ColumnStatistics] = {}
    for name in watched.columns:
        column = values_of(batch.columns[name])
        present = presence_of(batch.columns[name])
        if not present.any():
            continue
        positions = None
        if name in watched.positions:
            scores = values_of(batch.columns[watched.positions[name]])
            opinion = agreement.as_positions(column, scores)
        else:
            opinion = agreement.opinions(column, scores=name in watched.scores)
        if opinion is not None and not (opinion.positions and name in watched.ordered):
            if name in watched.compared:
                said[name] = replace(opinion, present=present)
            if opinion.positions and name not in watched.labelled:
                positions = opinion.said[present]
        columns[name] = column_statistics.column_statistics(
            take(column, np.flatnonzero(present)) if not present.all() else column,
            positions,
            least_shifts.get(name, 0),
        )
    return columns, agreement.compare(said)


def _together(parts: Sequence[Mapping[_K, _T]]) -> dict[_K, list[_T]]:
    """The values of the parts under each key, with the keys in order of their first appearance."""
    found: dict[_K, list[_T]] = defaultdict(list)
    for part in parts:
        for key, value in part.items():
            found[key].append(value)
    return found
