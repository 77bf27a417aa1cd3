"""The swap benchmark: what a stream notices of a new release that is slow to load.

    python benchmarks/swap.py            about 4 minutes; rewrites the table in docs/benchmarks.md
    python benchmarks/swap.py --quick    that it all runs and nothing is mislabelled

Four threads run batches of 64 rows through one small ONNX model as fast as they can. After a while
version 2 arrives, whose load takes some seconds, for each of the reasons in `swap_loads`. This
project and Beam's RunInference take turns.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import report
import sections
import swap_run
from repository import ROOT
from small_models import network
from swap_contenders import ROWS, Contender, Ours, Stock, Versions
from swap_loads import LOADS, make

from pipeline.backends import registry

_CONTENDERS: dict[str, Callable[[Versions], Contender]] = {
    "this project": Ours,
    "stock RunInference": Stock,
}
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


def main() -> int:
    options = _parse()
    load = os.getloadavg()[0]
    swaps: dict[tuple[str, str], list[swap_run.Swap]] = {}
    with tempfile.TemporaryDirectory() as folder:
        all_versions = {key: _versions(Path(folder) / key, key, options) for key in options.loads}
        for key in options.loads:
            # All at the start, as a job imports all frameworks of its ensemble.
            registry.backend(LOADS[key].companion["framework"]).start()
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            for key, versions in all_versions.items():
                files = [versions.path("m", n) / "model.onnx" for n in (1, 2)]
                answers = swap_run.expected(files)
                for name, make_contender in _CONTENDERS.items():
                    contender = make_contender(versions)
                    try:
                        swap = swap_run.swap(contender, answers, options.steady_secs)
                    except swap_run.WrongError as error:
                        print(f"{name}: {error}", file=sys.stderr)
                        return 1
                    swaps.setdefault((LOADS[key].title, name), []).append(swap)
                    print(
                        f"  {LOADS[key].title:26} {name:18} {swap.batches:>7,} batches of {ROWS} "
                        f"rows, all accounted for; longest gap {1000 * swap.longest:,.0f} ms",
                        flush=True,
                    )
    figures = sections.table(_HEADER, [_row(*names, of) for names, of in swaps.items()])
    machine = f"{report.machine()}; load average before the first round {load:.1f}"
    print(f"\n{figures}\n\n{machine}")
    if not options.quick:
        command = f"python benchmarks/swap.py --rounds={options.rounds}"
        sections.rewrite(options.docs, "swap", figures, command, machine)
        print(f"\nRewrote the table in {options.docs}")
    return 0


def _versions(folder: Path, key: str, options: argparse.Namespace) -> Versions:
    """Both versions of both models, on disk."""
    for number in (1, 2):
        network(folder / "m" / str(number) / "model.onnx", seed=number)
    make(key, folder / "companion", options.size)
    return Versions(folder, LOADS[key].companion, options.load_secs if LOADS[key].waits else 0.0)


def _row(load: str, name: str, swaps: Sequence[swap_run.Swap]) -> tuple[str, ...]:
    """Medians of the rounds; of the threads, the slowest of a round with the slowest of others."""
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


def _ms(secs: float) -> str:
    return f"{1000 * secs:.1f}" if secs < 0.1 else f"{1000 * secs:.0f}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures what a model swap does to a stream.")
    parser.add_argument("--quick", action="store_true", help="a smoke run, no figures")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--loads", nargs="*", choices=LOADS, default=list(LOADS))
    parser.add_argument("--load_secs", type=float, help="how long slow storage takes; default 3")
    parser.add_argument("--steady_secs", type=float, help="before the swap; default 4")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    options.size = 0.02 if options.quick else 1.0
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.load_secs = options.load_secs or (0.3 if options.quick else 3.0)
    options.steady_secs = options.steady_secs or (0.5 if options.quick else 4.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
