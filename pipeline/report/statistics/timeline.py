"""Records by the time at which they were finished, in little memory: equal slots of time.

The length of a slot is a power of two of microseconds, at least 0.13 s. When the run needs more
than MOST_SLOTS, pairs of neighbours join; so a run of more than 17 s has 64 to 128 slots. Slots
nest, so the result does not depend on the order in which parts are merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.report.statistics import value_sketch
from pipeline.report.statistics.served import EARLIER
from pipeline.report.statistics.value_sketch import ValueSketch

MOST_SLOTS = 128
_LEAST_SHIFT = 17  # slots of 0.131 s
LATENCY_BINS = 128
"""The most bins of a slot's latencies. They spread over few octaves, so they are known to some per
cent."""


def _no_latencies() -> ValueSketch:
    return ValueSketch(most_bins=LATENCY_BINS)


@dataclass(frozen=True)
class Slot:
    """What was finished in a slot of time.

    Attributes:
      predictions: generation of the release -> number of its predictions, less those that a sink
        refused in this time, so it may be negative; EARLIER -> that of earlier ones together.
      dead_letters: the number of dead letters.
      latencies_ms: the time from a record's event time until it was finished, for records with one.
    """

    predictions: Mapping[int, int] = field(default_factory=dict)
    dead_letters: int = 0
    latencies_ms: ValueSketch = field(default_factory=_no_latencies)

    @property
    def records(self) -> int:
        """Predictions and dead letters."""
        return sum(self.predictions.values()) + self.dead_letters


@dataclass(frozen=True)
class Timeline:
    """Slots in use.

    Attributes:
      slots: number -> slot; number n begins ``n << shift`` microseconds after 1970, UTC.
      shift: the logarithm of a slot's length in microseconds.
    """

    slots: Mapping[int, Slot] = field(default_factory=dict)
    shift: int = _LEAST_SHIFT

    @property
    def slot_secs(self) -> float:
        """The length of a slot."""
        return float((1 << self.shift) / 1e6)

    def start_us(self, number: int) -> int:
        """The start of a slot, in microseconds since 1970."""
        return number << self.shift


def timeline_at(
    time_us: int, predictions: Mapping[int, int], dead_letters: int, latencies_ms: Sequence[float]
) -> Timeline:
    """The timeline of records that were finished at one time; see Slot."""
    sketch = value_sketch.sketch(np.array(latencies_ms, dtype=np.float64), LATENCY_BINS)
    return Timeline({time_us >> _LEAST_SHIFT: Slot(predictions, dead_letters, sketch)})


def merged(parts: Sequence[Timeline], oldest: int = 0) -> Timeline:
    """The timeline of all parts, any number.

    Args:
      parts: the parts.
      oldest: generations before this one are counted as EARLIER.
    """
    used = [part for part in parts if part.slots]
    if not used:
        return Timeline()
    shift = max(part.shift for part in used)
    first = min(min(part.slots) << part.shift for part in used)
    last = max(max(part.slots) << part.shift for part in used)
    while (last >> shift) - (first >> shift) >= MOST_SLOTS:
        shift += 1
    together: dict[int, list[Slot]] = {}
    for part in used:
        for number, slot in part.slots.items():
            together.setdefault(number >> (shift - part.shift), []).append(slot)
    joined = {n: _joined(slots, oldest) for n, slots in sorted(together.items())}
    return Timeline(joined, shift)


def _joined(slots: Sequence[Slot], oldest: int) -> Slot:
    if len(slots) == 1 and all(generation >= oldest for generation in slots[0].predictions):
        return slots[0]
    predictions: Counter[int] = Counter()
    for slot in slots:
        for generation, count in slot.predictions.items():
            predictions[generation if generation >= oldest else EARLIER] += count
    return Slot(
        dict(predictions),
        sum(slot.dead_letters for slot in slots),
        value_sketch.merged([slot.latencies_ms for slot in slots]),
    )
