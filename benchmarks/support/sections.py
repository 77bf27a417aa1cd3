"""Tables as Markdown, and their place in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| "
        + " | ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        + " |"
        for row in (header, rule, *rows)
    )


def rewrite(
    document: Path, name: str, figures: str, command: str, machine: str, picture: str | None = None
) -> None:
    """Replaces the figures of a section.

    They stand between ``<!-- NAME: figures -->`` and ``<!-- NAME: end of figures -->``.

    Args:
      document: holds the section.
      name: of the section.
      figures: tables, as Markdown.
      command: that measured them.
      machine: what it measured them on.
      picture: what NAME.png beside the document shows; None where there is no picture.

    Raises:
      ValueError: the document has not both marks.
    """
    begin, end = f"<!-- {name}: figures -->", f"<!-- {name}: end of figures -->"
    before, found_begin, rest = document.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{document}: expected the marks {begin} and {end}")
    drawn = f"![{picture}]({name}.png)\n\n" if picture else ""
    text = f"{drawn}`{command}`, {datetime.now(UTC).date()}.\n\n{figures}\n\n{machine}."
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
    print(f"Rewrote '{name}' in {document}")


def summarise(document: Path, question: str, answer: str, compared: str) -> None:
    """Replaces a row of the summary: the one whose first cell is `question`.

    Raises:
      ValueError: the document has no such row, or several.
    """
    lines = document.read_text().splitlines()
    rows = [i for i, line in enumerate(lines) if line.startswith(f"| {question} |")]
    if len(rows) != 1:
        raise ValueError(f"{document}: expected one row '| {question} |', found {len(rows)}")
    lines[rows[0]] = f"| {question} | {answer} | {compared} |"
    document.write_text("\n".join(lines) + "\n")
