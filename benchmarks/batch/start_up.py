"""The start-up benchmark: how long the first prediction takes.

    python -m benchmarks.batch.start_up          about 35 seconds; rewrites its part of the document
    python -m benchmarks.batch.start_up --quick  only that it runs

Each contender gets a single record, as JSON line, and is timed from its start to its end: imports,
checks, loading the three models, building the graph, one prediction, written. No model is of
TensorFlow, so nobody imports that.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from statistics import median

from benchmarks.batch.contenders import CONTENDERS
from benchmarks.batch.vectors.workload import Vectors
from benchmarks.support import command_line, machine, measure, sections

_CHOSEN = ("bare-jsonl", "ours-jsonl", "stock-chain")
_HEADER = ("contender", "seconds", "lowest - highest", "of bare")


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    files = Vectors.prepare(options.folder)
    chosen = [contender for contender in CONTENDERS[Vectors.name] if contender.key in _CHOSEN]
    secs: dict[str, list[float]] = {contender.title: [] for contender in chosen}
    out = files.folder / "out" / "start-up"
    for _ in range(options.rounds):
        for contender in chosen:
            shutil.rmtree(out, ignore_errors=True)  # of a run that was cut off
            out.mkdir(parents=True)
            try:
                run = measure.run(contender.command(files, 1, out / "predictions"))
            except measure.FailedError as error:
                print(error, file=sys.stderr)
                return 1
            finally:
                shutil.rmtree(out)
            secs[contender.title].append(run.secs)
            print(f"  {contender.title:30} {run.secs:6.2f} s", flush=True)
    medians = {title: median(runs) for title, runs in secs.items()}
    bare, *_ = medians.values()
    rows = [
        (title, f"{secs:.1f}", f"{min(runs):.1f} - {max(runs):.1f}", f"{secs / bare:.1f} x")
        for (title, secs), runs in zip(medians.items(), secs.values(), strict=True)
    ]
    table = sections.table(_HEADER, rows)
    print(f"\n{table}\n\n{measured_on}")
    if not options.quick:
        sections.rewrite(options.docs, "start-up", table, command_line.used(), measured_on)
        _, ours, stock = medians.values()
        sections.summarise(
            options.docs,
            "Start-up to the first prediction",
            f"{ours / bare:.1f} x a bare Python loop ({ours:.1f} s)",
            f"stock RunInference chain {stock / bare:.1f} x",
        )
    return 0


def _parse() -> argparse.Namespace:
    parser = command_line.parser_with_folder("Measures how long the first prediction takes.")
    parser.add_argument("--rounds", type=int, help="default 3")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
