"""The distribution of numbers: bars over intervals of one width."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.batch.columns import Array
from pipeline.report import quantities
from pipeline.report.page import scales
from pipeline.report.page.colours import BLUE
from pipeline.report.page.markup import Markup, element, fragment
from pipeline.report.statistics.value_sketch import ValueSketch

_WIDTH, _HEIGHT = 250.0, 176.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 8.0, 20.0, 42.0
_MOST_BARS = 40
_LEAST_BAR = 1.5
_TAILS = 0.001
_OUTLYING = 4.0
_TOWERING = 0.5
_FARTHEST = 2.0**1000  # the difference of two such numbers is a number


def histogram(values: ValueSketch, title: str) -> Markup:
    """A histogram, with a sentence about what lies beyond its borders.

    Args:
      values: not all the same, as `has_width` says.
      title: a description for people who cannot see it.
    """
    low, high = _shown(values)
    edges = scales.binary_edges(low, high, _MOST_BARS)
    counts = values.counts_between(edges)
    drawing = _Drawing(edges, counts, values)
    beyond = values.count - float(counts.sum())
    note = None
    if beyond >= 1:
        note = element(
            "p",
            f"{quantities.share(beyond, values.count)} of the values lie beyond these borders.",
            class_="note",
        )
    picture = element(
        "svg",
        element("title", title),
        list(drawing.frame()),
        list(drawing.bars()),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        class_="chart small",
        role="img",
    )
    return fragment([picture, note])


def has_width(values: ValueSketch) -> bool:
    """Whether the numbers differ by enough to be told apart on an axis."""
    farthest = max(abs(values.least), abs(values.greatest), 2.0**-960)
    return values.greatest / farthest - values.least / farthest > 2.0**-40


def _shown(values: ValueSketch) -> tuple[float, float]:
    """The range of all values, or without a few that lie far off."""
    least, greatest = max(values.least, -_FARTHEST), min(values.greatest, _FARTHEST)
    low, high = values.quantile(_TAILS), values.quantile(1 - _TAILS)
    if low < high and greatest - least > _OUTLYING * (high - low):
        return low, high
    return least, greatest


class _Drawing:
    """Axes and bars. If one bar would dwarf all others, heights are logarithms of shares."""

    def __init__(self, edges: Array, counts: Array, values: ValueSketch) -> None:
        self._edges = edges
        self._counts = counts
        self._values = values
        shares = counts[counts >= 0.5] / values.count
        self._most = float(shares.max())
        self._logarithmic = self._most > _TOWERING and len(shares) > 2
        # Half of the lowest bar, so that it can be seen.
        self._least = 10.0 ** math.floor(math.log10(float(shares.min()) / 2))

    def frame(self) -> Iterator[Markup]:
        """Axes with their numbers and names."""
        base, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for share in self._ticks():
            y = self._y(share)
            yield element("line", x1=_LEFT, x2=end, y1=y, y2=y, class_="grid")
            label = f"{quantities.number(100 * share)} %"
            yield element("text", label, x=_LEFT - 5, y=y + 4, text_anchor="end")
        yield element("line", x1=_LEFT, x2=end, y1=base, y2=base, class_="axis")
        for value in scales.ticks(float(self._edges[0]), float(self._edges[-1]), 4):
            x = self._x(value)
            anchor = "end" if x > end - 12 else "middle"
            yield element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis")
            yield element("text", quantities.number(value), x=x, y=base + 17, text_anchor=anchor)
        yield element("text", "value", x=(_LEFT + end) / 2, y=_HEIGHT - 6, text_anchor="middle")
        scale = "share of values, logarithmic" if self._logarithmic else "share of values"
        yield element("text", scale, x=0, y=11)

    def bars(self) -> Iterator[Markup]:
        """The bars, each with its numbers."""
        about = "" if self._values.exact else "about "
        base = _HEIGHT - _BOTTOM
        for low, high, count in zip(self._edges[:-1], self._edges[1:], self._counts, strict=True):
            if count < 0.5:
                continue
            y = min(self._y(float(count) / self._values.count), base - _LEAST_BAR)
            x, right = self._x(low), self._x(high)
            title = (
                f"{quantities.number(low)} to {quantities.number(high)}: {about}"
                f"{quantities.count(round(count))} values, "
                f"{quantities.share(float(count), self._values.count)}"
            )
            yield element(
                "rect",
                element("title", title),
                x=x,
                y=y,
                width=max(right - x - 1, 1),
                height=base - y,
                fill=BLUE,
            )

    def _ticks(self) -> list[float]:
        if not self._logarithmic:
            return scales.ticks(0, self._most, 4)
        decades = round(-math.log10(self._least))
        step = -(-decades // 4)
        return [
            10.0**-decade for decade in range(0, decades + 1, step) if 10.0**-decade <= self._most
        ]

    def _x(self, value: float) -> float:
        share = (value - self._edges[0]) / (self._edges[-1] - self._edges[0])
        return _LEFT + float(share) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, share: float) -> float:
        height = share / self._most
        if self._logarithmic:
            height = 1 - math.log10(share) / math.log10(self._least)
        return _HEIGHT - _BOTTOM - height * (_HEIGHT - _TOP - _BOTTOM)
