"""The batch benchmark's tables and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.batch.contenders import output_form
from benchmarks.batch.results import Result
from benchmarks.batch.workload import Format
from benchmarks.support import pictures, sections

FORMATS: Mapping[Format, str] = {"jsonl": "JSON lines", "csv": "CSV", "parquet": "Parquet"}
STOCK = "stock-chain"
_HEADER = (
    "contender",
    "processes x threads",
    "records",
    "records/s",
    "lowest - highest",
    "of bare",
    "x stock chain",
    "start-up s",
    "peak MiB",
)
_NOTHING = "-"


def by_format(results: Sequence[Result]) -> Mapping[Format, list[Result]]:
    """The results of each format that there is one of."""
    found: dict[Format, list[Result]] = {}
    for result in results:
        found.setdefault(result.contender.form, []).append(result)
    return found


def bare(results: Sequence[Result]) -> Result | None:
    """What the shares are of."""
    return next((r for r in results if r.contender.key.startswith("bare")), None)


def tables(results: Sequence[Result]) -> str:
    """For each format a table with a row for each contender."""
    made = []
    for form, some in by_format(results).items():
        stock = next((r for r in some if r.contender.key == STOCK), None)
        rows = [_row(result, bare(some), stock) for result in some]
        made.append(f"{FORMATS[form]}:\n\n{sections.table(*_without_empty(rows))}")
    return "\n\n".join(made)


def _without_empty(rows: Sequence[tuple[str, ...]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, less the columns in which nobody has a figure."""
    columns = list(zip(_HEADER, *rows, strict=True))
    header, *kept = zip(*(c for c in columns if set(c[1:]) != {_NOTHING}), strict=True)
    return list(header), [list(row) for row in kept]


def share(result: Result, other: Result | None) -> float | None:
    """The rate in terms of another's; None where the runs do not tell."""
    if other is None or result.rate is None or other.rate is None:
        return None
    return result.rate / other.rate


def summary(results: Sequence[Result], subject: str) -> list[tuple[str, str, str]]:
    """Rows of the summary: question, this project's answer, what it compares with."""
    rows = []
    for form, some in by_format(results).items():
        for workers, count in (("", "one worker"), ("-2", "two workers")):
            found = next(r for r in some if r.contender.key == f"ours{workers}-{form}")
            others = [
                f"{of_other:.2g} x {other.contender.title}"
                for other in some
                if not other.contender.key.startswith(("bare", "ours"))
                and (of_other := share(found, other)) is not None
            ]
            answer = _in_words(found, bare(some))
            loops = next((r for r in some if r.contender.key == f"bare-2-{form}"), None)
            if workers and (of_loops := share(found, loops)) is not None:
                answer += f"; {of_loops:.0%} of two such loops at once"
            rows.append((f"{subject}, {FORMATS[form]}, {count}", answer, "; ".join(others)))
    return rows


def _in_words(result: Result, bare_loop: Result | None) -> str:
    of_bare = share(result, bare_loop)
    if of_bare is None:
        return "the runs do not tell"
    return f"{of_bare:.0%} of a bare Python loop ({result.rate:,.0f} records/s)"


def draw(results: Sequence[Result], path: Path) -> None:
    """Bars of the rates, as shares of the bare loop with the same format."""
    found = by_format(results)
    heights = [len(some) for some in found.values()]
    picture, panels = pictures.figure(
        len(found), 1, 9, 0.42 * sum(heights) + 1.6, height_ratios=heights, sharex=True
    )
    for panel, (form, some) in zip(panels, found.items(), strict=True):
        shares = [share(result, bare(some)) or 0.0 for result in some]
        bars = panel.barh(
            [result.contender.title for result in some],
            shares,
            color=[_colour(result.contender.key) for result in some],
        )
        labels = [
            _NOTHING if result.rate is None else f"{part:.0%}  ({result.rate:,.0f}/s)"
            for part, result in zip(shares, some, strict=True)
        ]
        panel.bar_label(bars, labels, padding=6, fontsize=10, backgroundcolor="white")
        panel.invert_yaxis()
        panel.axvline(1, color=pictures.GREY, linewidth=1, zorder=0)
        panel.set_title(_in_and_out(form))
        panel.margins(x=0.25)
        panel.xaxis.set_major_formatter("{x:.0%}")
    panels[-1].set_xlabel("records/s, start-up apart, as a share of the bare loop")
    pictures.save(picture, path)


def _in_and_out(form: Format) -> str:
    if (out := output_form(form)) == form:
        return f"{FORMATS[form]} in and out"
    return f"{FORMATS[form]} in, {FORMATS[out]} out"


def _colour(key: str) -> str:
    for begin, colour in (("ours", pictures.BLUE), ("bare", pictures.GREY)):
        if key.startswith(begin):
            return colour
    return pictures.ORANGE


def _row(result: Result, bare_loop: Result | None, stock: Result | None) -> tuple[str, ...]:
    rates = result.rates
    of_bare, of_stock = share(result, bare_loop), share(result, stock)
    return (
        result.contender.title,
        result.contender.threads,
        f"{result.records:,}",
        _NOTHING if result.rate is None else f"{result.rate:,.0f}",
        f"{rates[0]:,.0f} - {rates[-1]:,.0f}" if len(rates) > 1 else _NOTHING,
        _NOTHING if of_bare is None else f"{of_bare:.0%}",
        _NOTHING if of_stock is None else f"{of_stock:.1f}",
        _NOTHING if result.start_up_secs is None else f"{result.start_up_secs:.1f}",
        f"{result.peak_bytes / 2**20:,.0f}",
    )
