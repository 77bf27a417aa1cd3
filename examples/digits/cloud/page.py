"""The report: one HTML file that needs no other."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from cloud.findings import Findings, Outcome
from cloud.preflight import Verdict

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff;
         max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }
  th, td { padding: 0.2rem 1.2rem 0.2rem 0; text-align: left; vertical-align: top; }
  th { border-bottom: 1px solid #999; font-weight: 600; }
  tr.fails td:first-child { color: #b00020; font-weight: 600; }
</style>
<h1>$title</h1>
<p>$verdict</p>
<h2>Assertions</h2>
$assertions
<h2>Measured</h2>
$facts
<h2>Before the launch</h2>
$preflight
<h2>Removed</h2>
<p>$removed</p>
</html>
""")
Row = Sequence[str]


def write(
    path: Path,
    run_id: str,
    verdict: str,
    findings: Findings,
    preflight: Sequence[Verdict],
    left: Sequence[str],
) -> None:
    """Writes the report.

    Args:
      path: where it goes.
      run_id: of the run.
      verdict: the run in a sentence.
      findings: what was asserted and measured.
      preflight: what was looked at before.
      left: what could not be removed.
    """
    assertions = findings.assertions()
    gone = "Everything that the run made is gone."
    text = _PAGE.substitute(
        title=html.escape(f"First launch {run_id}"),
        verdict=html.escape(verdict),
        assertions=_table(
            ("", "what", "found"),
            [(each.outcome.value, each.text, each.figure) for each in assertions],
            [each.outcome is Outcome.FAILS for each in assertions],
        ),
        facts=_table(("what", "value"), findings.facts.items()),
        preflight=_table(
            ("what", "found"), [(each.what, each.problem or each.found) for each in preflight]
        ),
        removed=html.escape(f"Not removed: {'; '.join(left)}" if left else gone),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _table(header: Row, rows: Iterable[Row], fails: Sequence[bool] = ()) -> str:
    lines = ["<table>", f"<tr>{_cells('th', header)}</tr>"]
    for i, row in enumerate(rows):
        kind = ' class="fails"' if i < len(fails) and fails[i] else ""
        lines.append(f"<tr{kind}>{_cells('td', row)}</tr>")
    return "\n".join([*lines, "</table>"])


def _cells(tag: str, cells: Row) -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
