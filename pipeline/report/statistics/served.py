"""What each release did: the last ones each, the earlier ones together.

A stream that refreshes for months serves thousands of releases, and its statistics are merged with
every bundle. So only the last MOST_RELEASES are known each. A release is among them in every part
if it is so in the whole; hence the result does not depend on the order in which parts are merged.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.batch.release import Release

MOST_RELEASES = 100
EARLIER = 0
"""Stands for the generations of the earlier releases."""


@dataclass(frozen=True)
class Served:
    """What one release did, or several together.

    Attributes:
      predictions, dead_letters: records of each kind whose batch it served.
      first_us, last_us: when the first and the last batch were finished, microseconds since 1970.
    """

    predictions: int
    dead_letters: int
    first_us: int
    last_us: int


@dataclass(frozen=True)
class Releases:
    """Releases that served, as values that merge.

    Attributes:
      each: what each of the last MOST_RELEASES did.
      refused: generation -> the number of its predictions that a sink refused. In `each` they are
        predictions still: see `settled`.
      earlier: what all releases before did together, if there are any; without what was refused.
    """

    each: Mapping[Release, Served] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    earlier: Served | None = None

    @property
    def oldest(self) -> int:
        """The oldest generation that is known by itself; 0 if all are."""
        if len(self.each) < MOST_RELEASES:
            return 0
        return min(release.generation for release in self.each)

    @property
    def settled(self) -> dict[Release, Served]:
        """What each release did; predictions that sinks refused count as its dead letters."""
        return {
            release: _less(did, self.refused.get(release.generation, 0))
            for release, did in self.each.items()
        }


def merged(parts: Sequence[Releases]) -> Releases:
    """Those of all parts together, any number."""
    together: dict[Release, list[Served]] = defaultdict(list)
    refused: dict[int, int] = defaultdict(int)
    for part in parts:
        for release, did in part.each.items():
            together[release].append(did)
        for generation, count in part.refused.items():
            refused[generation] += count
    each = {release: _sum(some) for release, some in together.items()}
    earlier = [part.earlier for part in parts if part.earlier is not None]
    if len(each) > MOST_RELEASES:
        kept = set(heapq.nlargest(MOST_RELEASES, each, key=_order))
        earlier += [did for release, did in each.items() if release not in kept]
        each = {release: did for release, did in each.items() if release in kept}
    found = Releases(each, refused, _sum(earlier) if earlier else None)
    return _forgetting(found) if found.earlier is not None else found


def _forgetting(releases: Releases) -> Releases:
    """The same; what was refused of earlier releases is counted with them."""
    assert releases.earlier is not None, "there are earlier releases"
    oldest = releases.oldest
    late = sum(count for generation, count in releases.refused.items() if generation < oldest)
    kept = {key: count for key, count in releases.refused.items() if key >= oldest}
    return Releases(releases.each, kept, _less(releases.earlier, late))


def _order(release: Release) -> tuple[int, str]:
    return release.generation, release.release_id


def _less(did: Served, refused: int) -> Served:
    return Served(did.predictions - refused, did.dead_letters + refused, did.first_us, did.last_us)


def _sum(several: Iterable[Served]) -> Served:
    several = list(several)
    return Served(
        sum(one.predictions for one in several),
        sum(one.dead_letters for one in several),
        min(one.first_us for one in several),
        max(one.last_us for one in several),
    )
