"""The swap benchmark's table, summary and picture. All figures are medians of the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.support import command_line, pictures, sections
from benchmarks.swap.run import Swap

OURS, SHARED = "this project", "this project, `model_sharing: vm`"
STOCK = "stock RunInference"

Swaps = dict[tuple[str, str], list[Swap]]
"""Title of the load and contender -> its swaps, one of each round."""

_HEADER = (
    "load",
    "contender",
    "load s",
    "swap s",
    "p99 outside",
    "p99 during",
    "longest outside",
    "longest during",
    "2 x p99 + 50",
    "longest during, each thread",
    "batches/s",
)


def table(swaps: Swaps) -> str:
    """A row for each load and contender; gaps in milliseconds."""
    return sections.table(_HEADER, [_row(*names, of) for names, of in swaps.items()])


def publish(document: Path, swaps: Swaps, measured_on: str) -> None:
    """Table, summary and picture."""
    picture = "The longest gap between two batches, with and without a swap, by load"
    sections.rewrite(document, "swap", table(swaps), command_line.used(), measured_on, picture)
    ours, shared, stock = (_longest(swaps, contender) for contender in (OURS, SHARED, STOCK))
    in_host = {load: f" (`model_sharing: vm`: {_ms(secs)} ms)" for load, secs in shared.items()}
    sections.summarise(
        document,
        "Swap: longest pause of a stream",
        "; ".join(f"{load}: {_ms(secs)} ms{in_host.get(load, '')}" for load, secs in ours.items()),
        f"{STOCK}: " + "; ".join(f"{_ms(secs)} ms" for secs in stock.values()),
    )
    _draw(swaps, document.with_name("swap.png"))


def _longest(swaps: Swaps, contender: str) -> Mapping[str, float]:
    """Load -> the longest gap during a swap, in seconds."""
    return {
        load: median(swap.longest for swap in of)
        for (load, name), of in swaps.items()
        if name == contender
    }


def _row(load: str, name: str, swaps: Sequence[Swap]) -> tuple[str, ...]:
    """Of the threads, the slowest of a round goes with the slowest of others."""
    by_thread = zip(*(swap.longest_by_thread for swap in swaps), strict=True)
    return (
        load,
        name,
        f"{median(swap.load_secs for swap in swaps):.2f}",
        f"{median(swap.swap_secs for swap in swaps):.2f}",
        _ms(median(swap.steady_p99 for swap in swaps)),
        _ms(median(swap.during_p99 for swap in swaps)),
        _ms(median(max(swap.steady) for swap in swaps)),
        _ms(median(swap.longest for swap in swaps)),
        _ms(2 * median(swap.steady_p99 for swap in swaps) + 0.05),
        ", ".join(_ms(median(longest)) for longest in by_thread),
        f"{median(swap.batches_per_sec for swap in swaps):,.0f}",
    )


def _draw(swaps: Swaps, path: Path) -> None:
    """For each load and contender, the longest gaps outside and during the swap."""
    loads = list(_longest(swaps, OURS))
    picture, panels = pictures.figure(len(loads), 1, 9, 1.5 * len(loads) + 0.9, sharex=True)
    spans = {
        "without a swap": (pictures.SKY, lambda swap: max(swap.steady)),
        "during the swap": (pictures.RED, lambda swap: swap.longest),
    }
    for panel, load in zip(panels, loads, strict=True):
        of_load = {name: of for (title, name), of in swaps.items() if title == load}
        for i, (label, (colour, longest)) in enumerate(spans.items()):
            gaps_ms = [1000 * median(map(longest, of)) for of in of_load.values()]
            y = [at + 0.36 * i for at in range(len(of_load))]
            bars = panel.barh(y, gaps_ms, height=0.34, color=colour, label=label)
            panel.bar_label(bars, [f"{_ms(gap_ms / 1000)} ms" for gap_ms in gaps_ms], padding=4)
        panel.set_yticks(
            [at + 0.18 for at in range(len(of_load))], [name.replace("`", "") for name in of_load]
        )
        panel.invert_yaxis()
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.margins(x=0.15)
        panel.set_title(load)
    panels[-1].set_xlabel("longest gap between two finished batches, ms (logarithmic)")
    picture.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    pictures.save(picture, path)


def _ms(secs: float) -> str:
    return f"{1000 * secs:.1f}" if secs < 0.1 else f"{1000 * secs:.0f}"
