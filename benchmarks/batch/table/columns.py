"""The columns of the table, and what its models make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FLOATS = tuple(f"x{place:02d}" for place in range(24))
INTEGERS = tuple(f"n{place}" for place in range(6))
NUMBERS = (*FLOATS, *INTEGERS)
LABELS: Mapping[str, Sequence[str]] = {
    "channel": ("branch", "broker", "phone", "web"),
    "plan": ("basic", "family", "plus", "pro", "student", "trial"),
    "region": (
        *("central", "coast", "east", "highlands", "islands", "lakes", "north", "north-east"),
        *("north-west", "south", "south-east", "south-west", "valley", "west"),
    ),
}
"""Field -> the texts that it may have, sorted."""

FEATURES = len(NUMBERS) + sum(map(len, LABELS.values()))
"""Of the regression: the numbers, then a 0 or 1 for each text."""
