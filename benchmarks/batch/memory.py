"""The memory benchmark: whether memory grows with the input.

    python -m benchmarks.batch.memory          about 40 seconds; rewrites its part of the document
    python -m benchmarks.batch.memory --quick  only that it runs

main.py runs on one worker, once over some records and once over ten times as many.
"""

from __future__ import annotations

import argparse
import shutil
import sys

from benchmarks.batch.contenders import ours
from benchmarks.batch.vectors.workload import Vectors
from benchmarks.support import command_line, machine, measure, sections

_HEADER = ("records, JSON lines", "peak MiB", "ratio")


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    files = Vectors.prepare(options.folder)
    out = files.folder / "out" / "memory"
    peaks: dict[int, int] = {}
    for records in (options.records, 10 * options.records):
        command = ours(form="jsonl")(files, records, out / "predictions")
        shutil.rmtree(out, ignore_errors=True)  # of a run that was cut off
        try:
            run = measure.run(command)
        except measure.FailedError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            shutil.rmtree(out, ignore_errors=True)
        peaks[records] = run.peak_bytes
        print(f"  {records:>9,} records {run.secs:7.2f} s", flush=True)
    first = peaks[options.records]
    rows = [(f"{n:,}", f"{peak / 2**20:,.0f}", f"{peak / first:.2f}") for n, peak in peaks.items()]
    table = sections.table(_HEADER, rows)
    print(f"\n{table}\n\n{measured_on}")
    if not options.quick:
        sections.rewrite(options.docs, "memory", table, command_line.used(), measured_on)
        ratio = peaks[10 * options.records] / first
        sections.summarise(
            options.docs,
            "Memory at ten times the records",
            f"{ratio:.2f} x ({first / 2**20:,.0f} MiB at {options.records:,})",
            "",
        )
    return 0


def _parse() -> argparse.Namespace:
    parser = command_line.parser_with_folder("Measures whether memory grows with the input.")
    parser.add_argument("--records", type=int, help="of the smaller run; default 400,000")
    options = parser.parse_args()
    options.records = options.records or (1_000 if options.quick else 400_000)
    return options


if __name__ == "__main__":
    sys.exit(main())
