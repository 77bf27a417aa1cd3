"""The text in the boxes of a picture, their sizes, and where lines touch them.

Lengths are in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pipeline.drawing.drawing import Box, Drawing

PADDING = 10.0
TITLE_SIZE, TEXT_SIZE = 13, 11
LINE = 16.0
"""The distance from one line of text to the next."""

# All text is monospaced. A character is 0.6 of the text size wide, a little more in some fonts.
_CHARACTER = 0.62
_BAR = 5.0
_LONGEST_NOTES = 28
_LONGEST = 34
_MOST_ROWS = 14


@dataclass(frozen=True)
class ColumnRow:
    """One column in a box.

    Attributes:
      name: its name.
      type: its dtype and shape.
      bundle: the number of its bundle; 0 in the output.
    """

    name: str
    type: str
    bundle: int = 0


@dataclass(frozen=True)
class Measured:
    """A box with its text.

    Attributes:
      box: what it shows.
      notes: lines below the title.
      rows: lines below the notes, and a rule.
    """

    box: Box
    notes: tuple[str, ...]
    rows: tuple[ColumnRow, ...]

    @cached_property
    def width(self) -> float:
        """Its width."""
        title = len(shortened(self.box.title)) * TITLE_SIZE
        notes = [len(note) * TEXT_SIZE for note in self.notes]
        rows = [(len(shortened(row.name)) + 1 + len(row.type)) * TEXT_SIZE for row in self.rows]
        return max(title, *notes, *rows) * _CHARACTER + 2 * PADDING + _BAR

    @cached_property
    def height(self) -> float:
        """Its height."""
        return self.rule + (LINE * len(self.rows) + PADDING / 2 if self.rows else 0.0)

    @property
    def rule(self) -> float:
        """The distance from its top to the first row."""
        return PADDING + LINE * (1 + len(self.notes)) + PADDING / 2

    def leaves(self, bundle: int) -> float:
        """The distance from its top to where the lines of a bundle leave it."""
        rows = [i for i, row in enumerate(self.rows) if row.bundle == bundle]
        return self.rule + LINE * ((rows[0] + rows[-1]) / 2 + 0.5)

    def arrives(self, column: str) -> float:
        """The distance from the top of the output to where a column arrives."""
        row = next(i for i, row in enumerate(self.rows) if row.name == column)
        return self.rule + LINE * (row + 0.5)


def measured(drawing: Drawing, box: Box) -> Measured:
    """A box with its text."""
    rows = (
        [ColumnRow(name, drawing.typed(name)) for name in box.reads] if box.kind == "output" else []
    )
    for number, bundle in enumerate(box.bundles):
        many = len(bundle.columns) > _MOST_ROWS
        shown = bundle.columns[: _MOST_ROWS - 1] if many else bundle.columns
        rows += [ColumnRow(name, drawing.typed(name), number) for name in shown]
        if many:
            rows.append(ColumnRow(f"and {len(bundle.columns) - len(shown)} more", "", number))
    return Measured(box, tuple(_in_lines(box.notes)), tuple(rows))


def shortened(text: str) -> str:
    """The text; a long one without its middle."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"


def _in_lines(notes: tuple[str, ...]) -> Iterator[str]:
    """The notes, as many on a line as fit."""
    line = ""
    for note in map(shortened, notes):
        if line and len(line) + 2 + len(note) > _LONGEST_NOTES:
            yield line
            line = note
        else:
            line = f"{line}, {note}" if line else note
    if line:
        yield line
