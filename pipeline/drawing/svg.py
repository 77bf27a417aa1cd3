"""A drawing as SVG: boxes in layers, and a line from each column to its readers.

One file without scripts, fonts or anything else from elsewhere. Pointing at a box or a line shows
more. Data flows to the right, or down if that makes a wide picture smaller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from html import escape
from itertools import pairwise

from pipeline.drawing.boxes import (
    LINE,
    PADDING,
    TEXT_SIZE,
    TITLE_SIZE,
    Measured,
    measured,
    shortened,
)
from pipeline.drawing.drawing import HEADINGS, Box, BoxKind, Drawing
from pipeline.drawing.layered_layout import Gaps, Size, Way, lay_out

# The palette of Okabe and Ito, which people with any colour vision tell apart
# (https://jfly.uni-koeln.de/color/), and tints of it.
_COLOURS: dict[BoxKind, tuple[str, str]] = {
    "record": ("#4d4d4d", "#f2f2f2"),
    "prepare": ("#56b4e9", "#e6f4fc"),
    "model": ("#e69f00", "#fdf3de"),
    "combine": ("#009e73", "#dff3ec"),
    "output": ("#000000", "#f2f2f2"),
}
_STYLE = f"""
text {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace }}
.heading {{ font-size: 12px; letter-spacing: 1px; fill: #555 }}
.title {{ font-size: {TITLE_SIZE}px; font-weight: bold }}
.text {{ font-size: {TEXT_SIZE}px }}
.grey {{ fill: #555 }}
.line {{ fill: none; stroke: #707070; stroke-width: 1.5 }}
.halo {{ fill: none; stroke: #fff; stroke-width: 5 }}
.head {{ fill: #707070 }}
.way:hover .line {{ stroke: #d55e00; stroke-width: 3 }}
""".strip()
_MARGIN = 20.0
_HEADING = 34.0
_HEADING_ASIDE = 80.0
_RIGHT = Gaps(layers=44.0, crowd=1.5, boxes=18.0, ways=12.0)
_DOWN = Gaps(layers=40.0, crowd=0.0, boxes=28.0, ways=24.0)
_WIDEST = 1300.0
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_Point = tuple[float, float]


def as_svg(drawing: Drawing) -> str:
    """The drawing as the text of an SVG file."""
    picture = _Picture(drawing, down=False)
    if picture.width > _WIDEST:
        other = _Picture(drawing, down=True)
        picture = min((picture, other), key=lambda one: one.width * one.height)
    return picture.svg()


class _Picture:
    """A drawing with its layout.

    Attributes:
      width, height: the size of the whole, in pixels.
    """

    def __init__(self, drawing: Drawing, *, down: bool) -> None:
        self._drawing = drawing
        self._down = down
        self._boxes = [measured(drawing, box) for box in drawing.boxes]
        self._ways = list(_ways(self._boxes, down))
        self._layout = lay_out(
            [box.layer for box in drawing.boxes],
            [Size(b.height, b.width) if down else Size(b.width, b.height) for b in self._boxes],
            [way for way, _ in self._ways],
            _DOWN if down else _RIGHT,
        )
        self._left = _MARGIN + _HEADING_ASIDE * down
        self._top = _MARGIN + _HEADING * (not down)
        right, bottom = self._point(self._layout.ends[-1], self._layout.across_size)
        self.width, self.height = right + _MARGIN, bottom + _MARGIN

    def svg(self) -> str:
        """The text of the file."""
        width, height = math.ceil(self.width), math.ceil(self.height)
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>Ensemble {_text(self._drawing.name)}</title>",
            f"<style>{_STYLE}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *self._headings(),
            *(self._way(number) for number in range(len(self._ways))),
            *(self._box(number) for number in range(len(self._boxes))),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _point(self, along: float, across: float) -> _Point:
        if self._down:
            return self._left + across, self._top + along
        return self._left + along, self._top + across

    def _corner(self, number: int) -> _Point:
        """Left and top of a box."""
        box = self._boxes[number]
        half = (box.width if self._down else box.height) / 2
        begin = self._layout.begins[box.box.layer]
        return self._point(begin, self._layout.across[number] - half)

    def _headings(self) -> Iterator[str]:
        first = {box.box.kind: box.box.layer for box in reversed(self._boxes)}
        for kind, layer in reversed(first.items()):
            x, y = self._point(self._layout.begins[layer], 0.0)
            x, y = (_MARGIN, y + PADDING + 5) if self._down else (x, _MARGIN + 12)
            yield _write("heading", x, y, HEADINGS[kind])

    def _box(self, number: int) -> str:
        box = self._boxes[number]
        stroke, fill = _COLOURS[box.box.kind]
        x, y = self._corner(number)
        place = f'x="{x:.1f}" y="{y:.1f}" height="{box.height:.1f}"'
        parts = [
            f'<rect {place} width="{box.width:.1f}" rx="4" fill="{fill}" stroke="{stroke}" '
            'stroke-width="1.5"/>',
            f'<rect {place} width="5" rx="2" fill="{stroke}"/>',
        ]
        x, line = x + PADDING + 3, y + PADDING + 9
        parts.append(_write("title", x, line, shortened(box.box.title)))
        for i, note in enumerate(box.notes, start=1):
            parts.append(_write("text grey", x, line + LINE * i, note))
        if box.rows:
            rule = y + box.rule - PADDING / 4
            path = f"M{x - PADDING + 2:.1f} {rule:.1f}h{box.width - 5:.1f}"
            parts.append(f'<path d="{path}" stroke="{stroke}" opacity="0.5"/>')
        for i, row in enumerate(box.rows):
            kind = f' <tspan class="grey">{_text(row.type)}</tspan>' if row.type else ""
            written = f"{_text(shortened(row.name))}{kind}"
            parts.append(_tagged("text", x, y + box.rule + LINE * i + 12, written))
        told = "\n".join(_told(self._drawing, box.box))
        return f"<g><title>{_text(told)}</title>{''.join(parts)}</g>"

    def _way(self, number: int) -> str:
        way, columns = self._ways[number]
        begin = self._leaves(number)
        points = [self._clear(way.begin, begin), *self._passed(number), self._arrives(number)]
        path = f"M{begin[0]:.1f} {begin[1]:.1f}L{points[0][0]:.1f} {points[0][1]:.1f}"
        for (x0, y0), (x1, y1) in pairwise(points):
            if self._down:
                curve = (x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1)
            else:
                curve = ((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1)
            path += "C" + " ".join(f"{value:.1f}" for value in curve)
        x, y = points[-1]
        head = "l-4 -7h8z" if self._down else "l-7 -4v8z"
        titles = f"{self._boxes[way.begin].box.title} to {self._boxes[way.end].box.title}"
        carried = ", ".join(f"{name} {self._drawing.typed(name)}".strip() for name in columns)
        return (
            f'<g class="way"><title>{_text(f"{titles}: {carried}")}</title>'
            f'<path class="halo" d="{path}"/><path class="line" d="{path}"/>'
            f'<path class="head" d="M{x:.1f} {y:.1f}{head}"/></g>'
        )

    def _leaves(self, number: int) -> _Point:
        way = self._ways[number][0]
        return self._touched(way.begin, way.leaves, far=True)

    def _clear(self, number: int, point: _Point) -> _Point:
        """The way straight ahead from a point to where no box of the layer is in the way."""
        end = self._point(self._layout.ends[self._boxes[number].box.layer], 0.0)
        return (point[0], end[1]) if self._down else (end[0], point[1])

    def _arrives(self, number: int) -> _Point:
        """The place where a line arrives: its column in the output, elsewhere beside others."""
        way = self._ways[number][0]
        share = way.arrives
        if self._down or self._boxes[way.end].box.kind != "output":
            beside = [i for i, (other, _) in enumerate(self._ways) if other.end == way.end]
            beside.sort(key=lambda i: [self._leaves(i), *self._passed(i)][-1][not self._down])
            share = (beside.index(number) + 1) / (len(beside) + 1)
        return self._touched(way.end, share, far=False)

    def _touched(self, number: int, share: float, *, far: bool) -> _Point:
        """A point on the side of a box where data leaves it (`far`) or arrives."""
        x, y = self._corner(number)
        box = self._boxes[number]
        if self._down:
            return x + box.width * share, y + box.height * far
        return x + box.width * far, y + box.height * share

    def _passed(self, number: int) -> list[_Point]:
        """The points at which a line enters and leaves the layers that it passes."""
        layout = self._layout
        return [
            self._point(along, across)
            for layer, across in layout.points[number].items()
            for along in (layout.begins[layer], layout.ends[layer])
        ]


def _ways(boxes: list[Measured], down: bool) -> Iterator[tuple[Way, tuple[str, ...]]]:
    """The connections, and the columns that each carries."""
    source = 0
    for maker, box in enumerate(boxes):
        for number, bundle in enumerate(box.box.bundles):
            source += 1
            for reader in bundle.readers:
                end = boxes[reader]
                arrives = 0.5
                leaves = (number + 1) / (len(box.box.bundles) + 1)
                if not down:
                    leaves = box.leaves(number) / box.height
                    if end.box.kind == "output":
                        arrives = end.arrives(bundle.columns[0]) / end.height
                yield Way(source, maker, reader, leaves, arrives), bundle.columns


def _told(drawing: Drawing, box: Box) -> Iterator[str]:
    """The text that pointing at a box shows."""
    yield ", ".join([f"{HEADINGS[box.kind]}: {box.title}", *box.notes])
    yield from box.details
    if box.reads and not box.details:
        yield f"reads {', '.join(box.reads)}"
    for bundle in box.bundles:
        for column in bundle.columns:
            yield f"makes {column} {drawing.typed(column)}".rstrip()


def _write(classes: str, x: float, y: float, text: str) -> str:
    return _tagged(classes, x, y, _text(text))


def _tagged(classes: str, x: float, y: float, content: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{content}</text>'


def _text(text: str) -> str:
    """Text as XML has it."""
    return escape(_CONTROL.sub("?", text))
