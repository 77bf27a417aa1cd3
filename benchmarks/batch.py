"""The batch benchmark: one ensemble over one file of records, by several means.

    python benchmarks/batch.py            about 5 minutes; rewrites the table in docs/benchmarks.md
    python benchmarks/batch.py --quick    that it all runs and agrees; measures nothing

Every contender is a process of its own and runs at two sizes. The rounds are interleaved, so that a
slow spell of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import agreement
import measure
import report
import workload
from contenders import BARE, BARE_ONE_THREAD, CONTENDERS, STOCK, Contender
from results import Result, fastest

_ROOT = Path(__file__).parents[1]
_RECORDS, _QUICK_RECORDS, _REPEATS = 400_000, 2_000, 3


class Benchmark:
    """Runs contenders, and checks in the first round that they agree.

    Args:
      files: the records and models.
      chosen: the contenders; the bare loop first, which is what the others are compared with.
      sizes: for each of them its numbers of records.
      keep_outputs: leave what they wrote.
    """

    def __init__(
        self,
        files: workload.Workload,
        chosen: list[Contender],
        sizes: dict[str, tuple[int, ...]],
        keep_outputs: bool,
    ) -> None:
        self._files = files
        self._keep = keep_outputs
        self._expected: agreement.Answers | None = None
        self.results = [Result(contender, sizes[contender.key]) for contender in chosen]

    def round(self) -> None:
        """Runs every contender once at each of its sizes."""
        for result in self.results:
            # The longest first: of the bare loop, it holds the answers to all others.
            for size in reversed(result.sizes):
                self._run(result, size)

    def _run(self, result: Result, size: int) -> None:
        contender = result.contender
        first = size not in result.runs
        folder = self._files.folder / "out" / f"{contender.key}-{size}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run = measure.run(contender.command(self._files, size, folder / "predictions"))
        result.add(size, run)
        print(f"  {contender.title:26} {size:>9,} records {run.secs:7.2f} s", flush=True)
        if first:
            answers = agreement.read(folder / "predictions", size)
            self._expected = self._expected or answers
            agreement.check(contender.title, answers, self._expected)
        if not self._keep:
            shutil.rmtree(folder)


def main() -> int:
    options = _parse()
    chosen = [c for c in CONTENDERS if c.key in options.contenders or c is BARE]
    sizes: dict[str, tuple[int, ...]] = {
        c.key: (options.records,) if options.quick else c.sizes(options.records) for c in chosen
    }
    load = os.getloadavg()[0]
    files = workload.prepare(options.folder)
    for size in {size for of_contender in sizes.values() for size in of_contender}:
        files.records(size)
    benchmark = Benchmark(files, chosen, sizes, options.keep_outputs)
    try:
        for number in range(options.repeats):
            print(f"round {number + 1} of {options.repeats}", flush=True)
            benchmark.round()
    except (measure.FailedError, agreement.DisagreementError) as error:
        print(error, file=sys.stderr)
        return 1
    by_key = {result.contender.key: result for result in benchmark.results}
    # Where other programs want the cores, the loop with more threads may be the slower one.
    bare = fastest([r for r in benchmark.results if r.contender in (BARE, BARE_ONE_THREAD)])
    table = report.table(benchmark.results, bare, by_key.get(STOCK.key))
    machine = f"{report.machine()}; load average before the first run {load:.1f}"
    print(f"\nAll contenders gave the same answers.\n\n{table}\n\n{machine}")
    if chosen == list(CONTENDERS) and not options.quick and options.docs:
        how = f"`make bench`, {datetime.now(UTC).date()}, medians of {options.repeats} rounds."
        report.rewrite(options.docs, f"\n{how}\n\n{table}\n\n{machine}.\n")
        print(f"\nRewrote the table in {options.docs}")
    return 0


def _parse() -> argparse.Namespace:
    keys = [contender.key for contender in CONTENDERS]
    parser = argparse.ArgumentParser(description="Compares ways to run an ensemble over a file.")
    parser.add_argument("--quick", action="store_true", help="a smoke run, no figures")
    parser.add_argument("--records", type=int, help=f"default {_RECORDS:,}")
    parser.add_argument("--repeats", type=int, help=f"rounds; default {_REPEATS}")
    parser.add_argument(
        "--contenders", nargs="*", default=keys, choices=keys, help="beside the bare loop"
    )
    parser.add_argument("--folder", type=Path, default=_ROOT / "build" / "benchmarks")
    parser.add_argument("--keep_outputs", action="store_true", help="in FOLDER/out")
    parser.add_argument("--docs", type=Path, default=_ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    options.records = options.records or (_QUICK_RECORDS if options.quick else _RECORDS)
    options.repeats = options.repeats or (1 if options.quick else _REPEATS)
    return options


if __name__ == "__main__":
    sys.exit(main())
