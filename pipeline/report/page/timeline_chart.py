"""Throughput and latency over time, with the changes of release marked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.report import quantities
from pipeline.report.page import moments, scales
from pipeline.report.page.colours import BLACK, BLUE, VERMILION, generation_colour
from pipeline.report.page.markup import Markup, element
from pipeline.report.page.tables import scrolling
from pipeline.report.statistics.served import EARLIER
from pipeline.report.statistics.timeline import Slot, Timeline

_WIDTH = 900.0
_LEFT, _RIGHT = 74.0, 16.0
_MARKS, _PANEL, _GAP, _BOTTOM = 44.0, 170.0, 34.0, 46.0
_MARK_WIDTH = 92.0
_SPREAD = 10.0
"""The ratio from which latencies are drawn as logarithms: one slow moment would hide the rest."""

_LATENCIES = ((0.5, "p50", BLUE, None, "circle"), (0.99, "p99", VERMILION, "6 3", "square"))


@dataclass(frozen=True)
class ReleaseMark:
    """A mark on the chart: a change of release, or a rejected proposal.

    Attributes:
      at_us: its time, microseconds since 1970.
      label: a word or two.
      bad: whether it is a rejection, not a change.
    """

    at_us: int
    label: str
    bad: bool = False


@dataclass(frozen=True)
class _Axis:
    """The horizontal axis: seconds since the first slot."""

    start_us: int
    secs: float

    def x(self, secs: float) -> float:
        return _LEFT + secs / self.secs * (_WIDTH - _LEFT - _RIGHT)

    def x_at(self, at_us: int) -> float:
        return self.x(min(max((at_us - self.start_us) / 1e6, 0.0), self.secs))


def timeline_chart(timeline: Timeline, marks: Sequence[ReleaseMark], title: str) -> Markup:
    """The chart and its legend.

    Args:
      timeline: the timeline; at least two slots' time between its ends.
      marks: the marks in order of time.
      title: a description for people who cannot see the chart.
    """
    first, last = min(timeline.slots), max(timeline.slots)
    axis = _Axis(timeline.start_us(first), (last - first + 1) * timeline.slot_secs)
    generations = sorted({g for slot in timeline.slots.values() for g in slot.predictions})
    has_latency = any(slot.latencies_ms.count for slot in timeline.slots.values())
    panels = 2 if has_latency else 1
    bottom = _MARKS + panels * _PANEL + (panels - 1) * _GAP
    picture = element(
        "svg",
        element("title", title),
        list(_throughput(timeline, first, axis, generations)),
        list(_latency(timeline, first, axis)) if has_latency else None,
        list(_marks(marks, axis, bottom)),
        list(_time_axis(axis, bottom)),
        viewBox=f"0 0 {_WIDTH:g} {bottom + _BOTTOM:g}",
        class_="chart wide",
        role="img",
    )
    dead = any(slot.dead_letters for slot in timeline.slots.values())
    return Markup(
        _legend(generations, dead=dead, has_latency=has_latency) + scrolling(picture, title)
    )


@dataclass(frozen=True)
class _Heights:
    """The vertical axis of a panel.

    Attributes:
      top: the top of the panel.
      most: the value at its top.
      least: the value at its bottom; if it is not 0, heights are logarithms.
    """

    top: float
    most: float
    least: float = 0.0

    def y(self, value: float) -> float:
        share = value / self.most
        if self.least:
            share = math.log(value / self.least) / math.log(self.most / self.least)
        return self.top + _PANEL * (1 - share)

    def ticks(self) -> list[float]:
        if self.least:
            return scales.log_ticks(self.least, self.most)
        return scales.ticks(0, self.most, 4)


def _panel(heights: _Heights, axis_name: str) -> Iterator[Markup]:
    """The frame of a panel."""
    for value in heights.ticks():
        y = heights.y(value)
        yield element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", quantities.number(value), x=_LEFT - 7, y=y + 4, text_anchor="end")
    middle = heights.top + _PANEL / 2
    yield element(
        "text",
        axis_name,
        x=16,
        y=middle,
        text_anchor="middle",
        transform=f"rotate(-90 16 {middle:g})",
    )
    base = heights.top + _PANEL
    yield element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="axis")


def _throughput(
    timeline: Timeline, first: int, axis: _Axis, generations: Sequence[int]
) -> Iterator[Markup]:
    secs = timeline.slot_secs
    most = max(slot.records for slot in timeline.slots.values()) / secs
    heights = _Heights(_MARKS, most)
    yield from _panel(heights, "records/s")
    for number, slot in sorted(timeline.slots.items()):
        begin = (number - first) * secs
        y = _MARKS + _PANEL
        for kind, records, colour in _stack(slot, generations):
            height = _PANEL * records / secs / most
            y -= height
            yield element(
                "rect",
                element(
                    "title",
                    f"{_clock(begin, secs)}: {kind}, {quantities.count(records)} records, "
                    f"{quantities.number(records / secs)}/s",
                ),
                x=axis.x(begin),
                y=y,
                width=max(axis.x(begin + secs) - axis.x(begin) - 0.7, 0.7),
                height=height,
                fill=colour,
            )


def _stack(slot: Slot, generations: Sequence[int]) -> Iterator[tuple[str, int, str]]:
    for place, generation in enumerate(generations):
        if (records := slot.predictions.get(generation, 0)) > 0:
            yield f"predictions of {_named(generation)}", records, generation_colour(place)
    if slot.dead_letters:
        yield "dead letters", slot.dead_letters, BLACK


def _named(generation: int) -> str:
    return "earlier generations" if generation == EARLIER else f"generation {generation}"


def _latency(timeline: Timeline, first: int, axis: _Axis) -> Iterator[Markup]:
    top = _MARKS + _PANEL + _GAP
    secs = timeline.slot_secs
    measured = {n: s.latencies_ms for n, s in timeline.slots.items() if s.latencies_ms.count}
    least = min(latencies.quantile(_LATENCIES[0][0]) for latencies in measured.values())
    most = max(latencies.quantile(_LATENCIES[-1][0]) for latencies in measured.values())
    heights = _Heights(top, max(most, 1e-3))
    if 0 < _SPREAD * least < most:
        heights = _Heights(top, most, scales.round_below(least))
    yield from _panel(heights, "latency, ms" + (", logarithmic" if heights.least else ""))
    for share, name, colour, dashes, shape in _LATENCIES:
        points = []
        for number, latencies in sorted(measured.items()):
            value = latencies.quantile(share)
            middle = (number - first + 0.5) * secs
            points.append((axis.x(middle), heights.y(value), value))
        yield element(
            "polyline",
            points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points),
            class_="curve",
            stroke=colour,
            stroke_dasharray=dashes,
        )
        for x, y, value in points:
            yield _point(shape, x, y, colour, f"{name} {quantities.number(value)} ms")


def _point(shape: str, x: float, y: float, colour: str, title: str) -> Markup:
    if shape == "circle":
        return element("circle", element("title", title), cx=x, cy=y, r=2.6, fill=colour)
    side = 4.6
    return element(
        "rect",
        element("title", title),
        x=x - side / 2,
        y=y - side / 2,
        width=side,
        height=side,
        fill=colour,
    )


def _marks(marks: Sequence[ReleaseMark], axis: _Axis, bottom: float) -> Iterator[Markup]:
    """A line for each mark; a label above it if there is room, in one of two rows."""
    free = [0.0, 0.0]
    for mark in marks:
        x = axis.x_at(mark.at_us)
        colour = VERMILION if mark.bad else BLACK
        yield element(
            "line",
            element("title", f"{_clock((mark.at_us - axis.start_us) / 1e6, 0)}: {mark.label}"),
            x1=x,
            x2=x,
            y1=_MARKS - 6,
            y2=bottom,
            stroke=colour,
            stroke_dasharray="4 3" if mark.bad else None,
            class_="mark",
        )
        row = next((place for place, end in enumerate(free) if x - _MARK_WIDTH / 2 >= end), None)
        if row is None:
            continue
        free[row] = x + _MARK_WIDTH / 2
        middle = min(max(x, _MARK_WIDTH / 2), _WIDTH - _MARK_WIDTH / 2)
        yield element(
            "text",
            mark.label,
            x=middle,
            y=_MARKS - 12 - 16 * row,
            text_anchor="middle",
            style=f"fill:{colour}",
        )


def _time_axis(axis: _Axis, bottom: float) -> Iterator[Markup]:
    step = scales.time_step(axis.secs, 9)
    unit_secs, unit = scales.time_unit(step)
    for number in range(int(axis.secs / step + 1e-9) + 1):
        x = axis.x(number * step)
        yield element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, class_="axis")
        label = quantities.number(number * step / unit_secs)
        yield element("text", label, x=x, y=bottom + 20, text_anchor="middle")
    yield element(
        "text",
        f"time since {moments.from_us(axis.start_us):%H:%M:%S} UTC, {unit}",
        x=(_LEFT + _WIDTH - _RIGHT) / 2,
        y=bottom + 40,
        text_anchor="middle",
    )


def _legend(generations: Sequence[int], *, dead: bool, has_latency: bool) -> Markup:
    entries = [
        _entry(generation_colour(place), _named(generation))
        for place, generation in enumerate(generations)
    ]
    if dead:
        entries.append(_entry(BLACK, "dead letters"))
    if has_latency:
        entries += [
            element(
                "span",
                element(
                    "i", class_="stroke dashed" if dashes else "stroke", style=f"color:{colour}"
                ),
                f"latency {name}",
            )
            for _, name, colour, dashes, _ in _LATENCIES
        ]
    return element("p", entries, class_="legend")


def _entry(colour: str, label: str) -> Markup:
    return element("span", element("i", style=f"background:{colour}"), label)


def _clock(begin: float, secs: float) -> str:
    start = quantities.duration(max(begin, 0.0))
    return f"{start} to {quantities.duration(begin + secs)}" if secs else start
