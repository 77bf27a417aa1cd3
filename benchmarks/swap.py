"""The swap benchmark: what a stream notices of a new model version that is slow to load.

    python benchmarks/swap.py            about 1 minute; rewrites the table in docs/benchmarks.md
    python benchmarks/swap.py --quick    that it all runs and nothing is mislabelled

Four threads run batches of 64 rows through one small ONNX model as fast as they can. After a while
version 2 arrives, whose load takes 3 s. This project and Beam's RunInference take turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import command_line
import machine
import pictures
import sections
import swap_run
from small_models import network
from swap_contenders import ROWS, Contender, Ours, Stock

_CONTENDERS: dict[str, Callable[[tuple[Path, Path], float], Contender]] = {
    "this project": Ours,
    "stock RunInference": Stock,
}
_HEADER = (
    "contender",
    "load s",
    "swap s",
    "p99 outside",
    "p99 during",
    "longest outside",
    "longest during",
    "longest during, each thread",
    "batches/s",
)


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    swaps: dict[str, list[swap_run.Swap]] = {name: [] for name in _CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        paths = tuple(network(Path(folder) / f"{n}" / "model.onnx", seed=n) for n in (1, 2))
        answers = swap_run.expected(paths)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            for name, make in _CONTENDERS.items():
                contender = make((paths[0], paths[1]), options.load_secs)
                try:
                    swap = swap_run.swap(contender, answers, options.steady_secs)
                except swap_run.WrongError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    return 1
                swaps[name].append(swap)
                print(
                    f"  {name:18} {swap.batches:>7,} batches of {ROWS} rows, all accounted for; "
                    f"longest gap during the swap {1000 * swap.longest:,.0f} ms",
                    flush=True,
                )
    figures = sections.table(_HEADER, [_row(name, of) for name, of in swaps.items()])
    print(f"\n{figures}\n\n{measured_on}")
    if not options.quick:
        command = f"python benchmarks/swap.py --rounds={options.rounds}"
        sections.rewrite(options.docs, "swap", figures, command, measured_on)
        _summarise(options.docs, swaps)
        _draw(swaps, options.docs.with_name("swap.png"))
    return 0


def _row(name: str, swaps: Sequence[swap_run.Swap]) -> tuple[str, ...]:
    """Medians of the rounds; of the threads, the slowest of a round with the slowest of others."""
    by_thread = zip(*(swap.longest_by_thread for swap in swaps), strict=True)
    return (
        name,
        f"{median(swap.load_secs for swap in swaps):.2f}",
        f"{median(swap.swap_secs for swap in swaps):.2f}",
        _ms(median(swap.steady_p99 for swap in swaps)),
        _ms(median(swap.during_p99 for swap in swaps)),
        _ms(median(max(swap.steady) for swap in swaps)),
        _ms(median(swap.longest for swap in swaps)),
        ", ".join(_ms(median(longest)) for longest in by_thread),
        f"{median(swap.batches_per_sec for swap in swaps):,.0f}",
    )


def _summarise(document: Path, swaps: Mapping[str, Sequence[swap_run.Swap]]) -> None:
    ours, stock = (median(swap.longest for swap in of) for of in swaps.values())
    load_secs = median(swap.load_secs for of in swaps.values() for swap in of)
    sections.summarise(
        document,
        "Swap: longest pause of a stream",
        f"{_ms(ours)} ms, while a model loads for {load_secs:.0f} s",
        f"stock RunInference {_ms(stock)} ms",
    )


def _draw(swaps: Mapping[str, Sequence[swap_run.Swap]], path: Path) -> None:
    """The longest gaps outside and during the swap."""
    picture, panel = pictures.figure(1, 1, 9, 2.6)
    spans = {
        "without a swap": (pictures.SKY, lambda swap: max(swap.steady)),
        "during the swap": (pictures.RED, lambda swap: swap.longest),
    }
    for i, (label, (colour, longest)) in enumerate(spans.items()):
        values = [1000 * median(map(longest, of)) for of in swaps.values()]
        y = [at + 0.36 * i for at in range(len(swaps))]
        bars = panel.barh(y, values, height=0.34, color=colour, label=label)
        panel.bar_label(bars, [f"{_ms(value / 1000)} ms" for value in values], padding=4)
    panel.set_yticks([at + 0.18 for at in range(len(swaps))], list(swaps))
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.margins(x=0.15)
    panel.set_xlabel("longest gap between two finished batches, ms (logarithmic)")
    panel.set_title("A stream while a model version loads for 3 s")
    panel.legend(loc="upper right")
    pictures.save(picture, path)


def _ms(secs: float) -> str:
    return f"{1000 * secs:.1f}" if secs < 0.1 else f"{1000 * secs:.0f}"


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what a model swap does to a stream.")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--load_secs", type=float, help="of the new version; default 3")
    parser.add_argument("--steady_secs", type=float, help="before the swap; default 3")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.load_secs = options.load_secs or (0.3 if options.quick else 3.0)
    options.steady_secs = options.steady_secs or (0.5 if options.quick else 3.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
