"""How often each text occurs, in little memory: the frequent ones by name.

Up to MOST_LABELS different texts are counted exactly. If there are more, the rarest are dropped,
and the other counts are too low by at most the same number (Misra and Gries 1982, doi:
10.1016/0167-6423(82)90012-0; merged as in Agarwal et al. 2012, doi:10.1145/2213556.2213562), which
is at most one 1,025th of all texts. Then, and only then, the result depends on the order.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MOST_LABELS = 1024
LONGEST = 80
"""Characters of a text that count; longer texts with the same start count as one."""


@dataclass(frozen=True)
class LabelCounts:
    """Counts of texts. Immutable.

    Attributes:
      counts: text -> how often it occurred at least; at most MOST_LABELS texts.
      total: the number of all texts.
      missed: by how much each count may be too low; for a text without a count, how often it may
        have occurred.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    total: int = 0
    missed: int = 0

    def most_common(self) -> list[tuple[str, int]]:
        """Texts and counts, the most frequent first."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))


def count_labels(texts: Iterable[str]) -> LabelCounts:
    """The counts of some texts."""
    counts = Counter(
        text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
        for text in texts
    )
    return _fitted(counts, counts.total(), 0)


def merged(parts: Sequence[LabelCounts]) -> LabelCounts:
    """The counts of the texts of all parts, at least one."""
    used = [part for part in parts if part.total]
    if len(used) < 2:
        return used[0] if used else parts[0]
    counts: Counter[str] = Counter()
    for part in used:
        counts.update(part.counts)
    return _fitted(counts, sum(p.total for p in used), sum(p.missed for p in used))


def _fitted(counts: Mapping[str, int], total: int, missed: int) -> LabelCounts:
    if len(counts) <= MOST_LABELS:
        return LabelCounts(dict(counts), total, missed)
    rarest = heapq.nlargest(MOST_LABELS + 1, counts.values())[-1]
    kept = {text: count - rarest for text, count in counts.items() if count > rarest}
    return LabelCounts(kept, total, missed + rarest)
