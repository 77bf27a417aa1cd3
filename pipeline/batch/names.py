"""Many names at once: which of them come twice, and the first of them for a message.

A table may have thousands of columns. So nothing here looks through all of them for each, and no
message holds all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import islice

SHOWN = 12
"""The most names that a message holds of a list that may be long."""


def doubled(names: Iterable[str]) -> dict[str, int]:
    """Those that come more than once, in the order in which they come first: name -> how often."""
    return {name: times for name, times in Counter(names).items() if times > 1}


def some(names: Collection[str]) -> str:
    """The first of many names, and how many there are; "none" where there are none."""
    shown = ", ".join(islice(names, SHOWN)) or "none"
    return shown + (f", ... ({len(names):,} in all)" if len(names) > SHOWN else "")
