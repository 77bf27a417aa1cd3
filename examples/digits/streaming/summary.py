"""The run in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streaming import release_events
from streaming.account import Account
from streaming.history import History

_AROUND_SWAP_SECS = 1.0


class ReleaseRow(NamedTuple):
    """One release.

    Attributes:
      generation: which.
      predictions: how many it made.
      forest, ensemble: % of digits that they got right.
      versions: of its models.
    """

    generation: int
    predictions: int
    forest: float
    ensemble: float
    versions: str


@dataclass(frozen=True)
class Summary:
    """The numbers of a run.

    Attributes:
      facts: name and value of each, to be shown in this order.
      releases: those that predicted something, oldest first.
      verdict: whether everything that was sent came out, in one sentence.
      subtitle: all of it in one line.
    """

    facts: Sequence[tuple[str, str]]
    releases: Sequence[ReleaseRow]
    verdict: str
    subtitle: str


def summarise(history: History, found: Account) -> Summary:
    """The numbers of a run.

    Args:
      history: what happened.
      found: what was sent, against what lies in the output files now.
    """
    fed = history.fed()
    p50, p99 = np.percentile([p.latency_ms for p in fed], [50, 99])
    near_swap, elsewhere = gaps(history)
    facts = [
        ("records sent", f"{found.sent:,}"),
        ("predictions", f"{len(history.predictions):,}"),
        ("dead letters", f"{len(history.dead_letters):,}"),
        ("latency p50", f"{p50:.0f} ms"),
        ("latency p99", f"{p99:.0f} ms"),
        ("longest gap between outputs", f"{max(near_swap, elsewhere) * 1000:.0f} ms"),
        (f"... within {_AROUND_SWAP_SECS:g} s of a swap", f"{near_swap * 1000:.0f} ms"),
        ("... all the rest of the time", f"{elsewhere * 1000:.0f} ms"),
    ]
    releases = [
        ReleaseRow(
            generation,
            share.count,
            round(100 * share.forest / share.count, 1),
            round(100 * share.ensemble / share.count, 1),
            release_events.versions(history.releases[generation]),
        )
        for generation, share in sorted(history.shares.items())
    ]
    subtitle = (
        f"{found.sent:,} records: {len(history.predictions):,} predictions, "
        f"{len(history.dead_letters):,} dead letters, {found.missing or 'none'} lost; "
        f"longest gap between outputs {max(near_swap, elsewhere):.2f} s"
    )
    return Summary(facts, releases, found.verdict(), subtitle)


def gaps(history: History) -> tuple[float, float]:
    """The longest times without a prediction, in seconds: around the swaps, and otherwise."""
    swaps = [mark.at for mark in history.marks if mark.kind == "activated"]
    around = otherwise = 0.0
    for before, after in pairwise(sorted({p.at for p in history.fed()})):
        start, end = before - _AROUND_SWAP_SECS, after + _AROUND_SWAP_SECS
        if any(start <= swap <= end for swap in swaps):
            around = max(around, after - before)
        else:
            otherwise = max(otherwise, after - before)
    return around, otherwise
