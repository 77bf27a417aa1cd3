"""The swap benchmark: what a stream notices of a new release that is slow to load.

    python -m benchmarks.swap          about 2 1/2 minutes; rewrites its part of the document
    python -m benchmarks.swap --quick  that it all runs and nothing is mislabelled

Four threads run batches of 64 rows through one small ONNX model as fast as they can. After a while
version 2 arrives, whose load takes some seconds, for each of the reasons in `swap_loads`. This
project and Beam's RunInference take turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.support import command_line, machine
from benchmarks.support.small_models import network
from benchmarks.swap import report as swap_report
from benchmarks.swap import run as swap_run
from benchmarks.swap.contenders import ROWS, Contender, Ours, Stock, Versions
from benchmarks.swap.loads import LOADS, Load, make
from benchmarks.swap.report import OURS, SHARED, STOCK, Swaps
from pipeline.backends import registry

_CONTENDERS: dict[str, Callable[[Versions], Contender]] = {
    OURS: Ours,
    SHARED: partial(Ours, shared=True),
    STOCK: Stock,
}


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    swaps: Swaps = {}
    with tempfile.TemporaryDirectory() as folder:
        all_versions = _make(Path(folder), options)
        for key in options.loads:
            # All at the start, as a job imports all frameworks of its ensemble.
            registry.backend(LOADS[key].companion["framework"]).start()
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            for key, versions in all_versions.items():
                try:
                    _round(LOADS[key], versions, options.steady_secs, swaps)
                except swap_run.WrongError as error:
                    print(error, file=sys.stderr)
                    return 1
    print(f"\n{swap_report.table(swaps)}\n\n{measured_on}")
    if not options.quick and options.loads == list(LOADS):
        swap_report.publish(options.docs, swaps, measured_on)
    return 0


def _round(load: Load, versions: Versions, steady_secs: float, swaps: Swaps) -> None:
    """One swap of each contender, added to `swaps`."""
    answers = swap_run.expected([versions.path("m", n) / "model.onnx" for n in (1, 2)])
    for name, contender in _CONTENDERS.items():
        if load.waits and name == SHARED:  # whose loads are only slow where they compute
            continue
        try:
            swap = swap_run.swap(contender(versions), answers, steady_secs)
        except swap_run.WrongError as error:
            raise swap_run.WrongError(f"{name}, {load.title}: {error}") from error
        swaps.setdefault((load.title, name), []).append(swap)
        print(
            f"  {load.title:26} {name:34} {swap.batches:>7,} batches of {ROWS} rows, "
            f"all accounted for; longest gap {1000 * swap.longest:,.0f} ms",
            flush=True,
        )


def _make(folder: Path, options: argparse.Namespace) -> Mapping[str, Versions]:
    """For each load the models."""
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(_versions, folder / key, key, options) for key in options.loads]
        return {key: each.result() for key, each in zip(options.loads, made, strict=True)}


def _versions(folder: Path, key: str, options: argparse.Namespace) -> Versions:
    """Both versions of both models, on disk."""
    for number in (1, 2):
        network(folder / "m" / str(number) / "model.onnx", seed=number)
    make(key, folder / "companion", options.size)
    return Versions(folder, LOADS[key].companion, options.load_secs if LOADS[key].waits else 0.0)


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what a model swap does to a stream.")
    parser.add_argument("--rounds", type=int, help="default 2")
    parser.add_argument("--loads", nargs="*", choices=LOADS, default=list(LOADS))
    parser.add_argument("--load_secs", type=float, help="how long slow storage takes; default 2")
    parser.add_argument("--steady_secs", type=float, help="before the swap; default 2")
    options = parser.parse_args()
    options.size = 0.02 if options.quick else 1.0
    options.rounds = options.rounds or (1 if options.quick else 2)
    options.load_secs = options.load_secs or (0.3 if options.quick else 3.0)
    options.steady_secs = options.steady_secs or (0.3 if options.quick else 2.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
