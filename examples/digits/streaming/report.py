"""The run as one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from streaming.summary import Summary
from streaming.timeline import Entry

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff;
         max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
  img { width: 100%; height: auto; }
  table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
  th, td { padding: 0.2rem 1.2rem 0.2rem 0; text-align: left; vertical-align: top; }
  th { border-bottom: 1px solid #999; font-weight: 600; }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
  tr.stream { color: #555; }
</style>
<h1>$title</h1>
<p>$verdict.</p>
<img alt="$alt" src="data:image/png;base64,$picture">
<h2>In numbers</h2>
$facts
<p>$note</p>
<h2>By release</h2>
$releases
<h2>Timeline</h2>
$timeline
</html>
""")

_ALT = (
    "Throughput by release, latency (p50 and p99) and accuracy for each second, with what the demo "
    "did to the models and what became of it; the tables below say the same."
)


def write(
    title: str, note: str, summary: Summary, entries: Sequence[Entry], picture: Path, path: Path
) -> None:
    """Writes the page.

    Args:
      title: its heading.
      note: what to know about the numbers.
      summary: the numbers.
      entries: the timeline.
      picture: a PNG, which is copied into the page.
      path: where the page goes.
    """
    page = _PAGE.substitute(
        title=html.escape(title),
        note=html.escape(note),
        verdict=html.escape(summary.verdict.capitalize()),
        alt=html.escape(_ALT),
        picture=base64.b64encode(picture.read_bytes()).decode(),
        facts=_table(("", "value"), summary.facts, numbers=(1,)),
        releases=_table(
            ("generation", "predictions", "forest right %", "ensemble right %", "models"),
            summary.releases,
            numbers=(0, 1, 2, 3),
        ),
        timeline=_table(
            ("second", "who", "what"),
            [(f"{entry.at:.1f}", entry.who, entry.text) for entry in entries],
            numbers=(0,),
            classes=[entry.who for entry in entries],
        ),
    )
    path.write_text(page, encoding="utf-8")


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Sequence[int],
    classes: Sequence[str] | None = None,
) -> str:
    lines = ["<table>", f"<tr>{_cells('th', header, numbers)}</tr>"]
    for i, row in enumerate(rows):
        kind = f' class="{classes[i]}"' if classes else ""
        lines.append(f"<tr{kind}>{_cells('td', row, numbers)}</tr>")
    return "\n".join([*lines, "</table>"])


def _cells(tag: str, cells: Sequence[Any], numbers: Sequence[int]) -> str:
    return "".join(
        f"<{tag}{' class=number' if i in numbers else ''}>"
        f"{html.escape(f'{cell:,}' if isinstance(cell, int) else str(cell))}</{tag}>"
        for i, cell in enumerate(cells)
    )
