"""A drawing as text: a row for each box, and lines on the left that lead columns to readers.

As in ``git log --graph``, a line begins at the box that makes a column and goes down to the last
one that reads it; a horizontal line joins a box with what it reads::

    record   ○                            x float32[4]
             │
    models   ├─■  linear  sklearn         linear_y float32[3]
             ■ │  net     onnx            net_y float32[3]
             │ │
    combine  ◇─┘  mean                    y float32[3]
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from pipeline.drawing.drawing import HEADINGS, Box, BoxKind, Bundle, Drawing

_GLYPHS: dict[BoxKind, str] = {
    "record": "○",
    "prepare": "□",
    "model": "■",
    "combine": "◇",
    "output": "●",
}
_MARGIN = max(map(len, HEADINGS.values())) + 2
_WIDEST_NOTES = 24
_LEAST_TEXT = 28

# (comes from the left, goes to the right, goes on below) -> a line where a box reads it.
_READ = {
    (False, True, True): "├",
    (False, True, False): "└",
    (True, False, True): "┤",
    (True, False, False): "┘",
    (True, True, True): "┼",
    (True, True, False): "┴",
}


@dataclass
class _Line:
    """The columns of a bundle, on their way to the last box that reads them."""

    columns: frozenset[str]
    last: int


@dataclass
class _Row:
    """One row of the drawing.

    Attributes:
      kind: of its box.
      above, below: the slots in which lines run before and after the row.
      marks: slot -> the mark there instead of a passing line.
      name, notes, columns: the text beside it.
    """

    kind: BoxKind
    above: list[bool]
    below: list[bool] = field(default_factory=list)
    marks: dict[int, str] = field(default_factory=dict)
    name: str = ""
    notes: str = ""
    columns: str = ""


def draw_text(drawing: Drawing, width: int = 100) -> str:
    """The drawing, in lines of at most `width` characters if the names allow it."""
    rows = list(_rows(drawing))
    slots = max(len(row.below) for row in rows)
    names = max(len(row.name) for row in rows)
    notes = min(max(len(row.notes) for row in rows), _WIDEST_NOTES)
    space = width - (_MARGIN + 2 * slots + names + notes + 5)
    pitch = 2
    if space < _LEAST_TEXT:
        pitch, space = 1, space + slots
    lines: list[str] = []
    kind = None
    for row in rows:
        heading = ""
        if row.kind != kind:
            if lines:
                lines.append(" " * _MARGIN + _passing(row.above, pitch))
            kind, heading = row.kind, HEADINGS[row.kind]
        written = zip_longest(
            [row.name],
            textwrap.wrap(row.notes, notes or 1),
            textwrap.wrap(row.columns, max(space, 1), break_long_words=False),
            fillvalue="",
        )
        for i, (name, note, columns) in enumerate(written):
            drawn = _passing(row.below, pitch) if i else _drawn(row, pitch)
            text = f"{name:<{names}}  {note:<{notes}}  {columns}"
            lines.append(f"{heading:<{_MARGIN}}{drawn:<{pitch * slots}} {text}")
            heading = ""
    return "\n".join(line.rstrip() for line in lines)


def _rows(drawing: Drawing) -> Iterator[_Row]:
    lines: list[_Line | None] = []
    for position, box in enumerate(drawing.boxes):
        read = [i for i, line in enumerate(lines) if line and line.columns & set(box.reads)]
        ending = [i for i in read if (line := lines[i]) and line.last == position]
        place = ending[0] if ending else _free(lines, behind=max(read, default=-1))
        row = _Row(box.kind, _running(lines), name=box.title, notes=", ".join(box.notes))
        if box.kind in ("record", "output"):  # which the heading says
            row.name = ""
        for i in ending:
            lines[i] = None
        for number, bundle in enumerate(box.bundles or (Bundle((), ()),)):
            slot = place
            if number:
                row = _Row(box.kind, _running(lines))
                slot = _free(lines, behind=place)
            if bundle.readers:
                lines += [None] * (slot + 1 - len(lines))
                lines[slot] = _Line(frozenset(bundle.columns), bundle.readers[-1])
            row.columns = _listed(drawing, box, bundle)
            row.below = _running(lines, at_least=place + 1)
            row.marks = _marks(_GLYPHS[box.kind], place, row, [] if number else read)
            if number and bundle.readers:
                row.marks[slot] = "┐"
            yield row


def _free(lines: Sequence[_Line | None], *, behind: int) -> int:
    """The first slot right of another that holds no line."""
    slots = range(behind + 1, len(lines))
    return next((i for i in slots if lines[i] is None), max(len(lines), behind + 1))


def _running(lines: Sequence[_Line | None], at_least: int = 0) -> list[bool]:
    running = [line is not None for line in lines]
    return running + [False] * (at_least - len(running))


def _marks(glyph: str, place: int, row: _Row, read: Sequence[int]) -> dict[int, str]:
    """The box, and the lines that it reads."""
    first, last = min([place, *read]), max([place, *read])
    marks = {i: _READ[first < i, i < last, row.below[i]] for i in read if i != place}
    return {**marks, place: glyph}


def _drawn(row: _Row, pitch: int) -> str:
    """The row itself: its marks, a horizontal line between them, and lines that pass."""
    first, last = min(row.marks), max(row.marks)
    text = ""
    for i in range(len(row.below)):
        passes = i < len(row.above) and row.above[i]
        text += row.marks.get(i) or ("│" if passes else "─" if first < i < last else " ")
        if pitch > 1:
            text += "─" if first <= i < last else " "
    return text


def _passing(running: Sequence[bool], pitch: int) -> str:
    return "".join(("│" if line else " ").ljust(pitch) for line in running)


def _listed(drawing: Drawing, box: Box, bundle: Bundle) -> str:
    """The columns beside a row."""
    if box.kind == "output":
        return ", ".join(box.reads)
    columns = ", ".join(f"{name} {drawing.typed(name)}".strip() for name in bundle.columns)
    return columns if bundle.readers else f"{columns} (read by nobody)"
