"""All benchmarks, one after the other.

    python -m benchmarks.run_all             about 43 minutes on two quiet cores; rewrites the
                                             figures and pictures of docs/benchmarks.md
    python -m benchmarks.run_all --prepare   only what is made once: records, the peers' environment
    python -m benchmarks.run_all --quick     only that all of them run

What is made once is made first and counts apart. A benchmark that fails leaves its part of the
document as it was, and the others go on; the status then is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch.peers import environment as peers
from benchmarks.batch.table.workload import Table
from benchmarks.batch.vectors.workload import Vectors
from benchmarks.batch.workload import Format, Workload
from benchmarks.support import command_line, sections

# The longest inputs there are; shorter ones are the first files of these.
_RECORDS: Mapping[type[Workload], Mapping[Format, int]] = {
    Vectors: {"jsonl": 4_000_000, "parquet": 4_000_000},
    Table: dict.fromkeys(Table.forms, 1_600_000),
}


@dataclass(frozen=True)
class Benchmark:
    """One of them.

    Attributes:
      name: of its module in this package.
      secs: how long it took on the machine of the published figures.
      has_records: takes its input from the workload's folder.
      workload: of those of its module, if not the usual one.
    """

    name: str
    secs: int
    has_records: bool = False
    workload: str = ""

    @property
    def key(self) -> str:
        """What `--only` calls it."""
        return f"{self.name}:{self.workload}" if self.workload else self.name

    def command(self, options: argparse.Namespace) -> Sequence[str]:
        """Its command line."""
        command = [sys.executable, "-m", f"benchmarks.{self.name}", f"--docs={options.docs}"]
        if self.has_records:
            command.append(f"--folder={options.folder}")
        if self.workload:
            command.append(f"--workload={self.workload}")
        return [*command, "--quick"] if options.quick else command


BENCHMARKS = (
    Benchmark("batch", 390, has_records=True),
    Benchmark("batch", 900, has_records=True, workload=Table.name),
    Benchmark("batch.start_up", 35, has_records=True),
    Benchmark("batch.memory", 40, has_records=True),
    Benchmark("batch.slow_storage", 100, has_records=True),
    Benchmark("batch.stages", 80, has_records=True),
    Benchmark("batch.stages", 210, has_records=True, workload=Table.name),
    Benchmark("swap", 145),
    Benchmark("stream", 110),
    Benchmark("stream.bundles", 170),
    Benchmark("calls.merging", 40),
    Benchmark("calls.sharing", 25),
    Benchmark("calls.bad_rows", 35),
    Benchmark("texts", 300),
)


def main() -> int:
    options = _parse()
    if not options.quick:
        try:
            _prepare(
                options.folder,
                with_peers=any(key in options.only for key in ("batch", "batch:table")),
            )
        except peers.MissingError as error:
            print(error, file=sys.stderr)
            return 1
        if options.prepare:
            return 0
        print(f"load average {os.getloadavg()[0]:.1f}: the quieter the machine, the better")
    chosen = [each for each in BENCHMARKS if each.key in options.only]
    began = time.monotonic()
    took: dict[Benchmark, float] = {}
    failed = []
    for number, benchmark in enumerate(chosen, start=1):
        started = time.monotonic()
        print(
            f"\n{_clock(started - began)}  {number} of {len(chosen)}: {benchmark.key}, "
            f"about {_clock(benchmark.secs)} minutes",
            flush=True,
        )
        if subprocess.run(benchmark.command(options)).returncode:
            failed.append(benchmark.key)
        took[benchmark] = time.monotonic() - started
    rows = [(each.key, _clock(secs), _clock(each.secs)) for each, secs in took.items()]
    rows.append(("all", _clock(sum(took.values())), _clock(sum(each.secs for each in took))))
    print(f"\n{sections.table(('benchmark', 'took', 'expected'), rows)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _prepare(folder: Path, with_peers: bool) -> None:
    """Makes what is not there yet.

    Raises:
      MissingError: the peers cannot run here.
    """
    if with_peers:
        peers.prepare(java=True)
    for kind, counts in _RECORDS.items():
        files = kind.prepare(folder)
        for form, count in counts.items():
            print(f"records: {kind.name}, {count:,}, {form}", flush=True)
            files.records(count, form)


def _clock(secs: float) -> str:
    return f"{int(secs) // 60}:{int(secs) % 60:02d}"


def _parse() -> argparse.Namespace:
    names = [each.key for each in BENCHMARKS]
    parser = command_line.parser_with_folder("Runs all benchmarks.")
    parser.add_argument("--prepare", action="store_true", help="no benchmark: what is made once")
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
