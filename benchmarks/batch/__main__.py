"""The batch benchmark: one ensemble over a folder of records, by several means.

    python -m benchmarks.batch                    about 7 minutes; rewrites its part of the document
    python -m benchmarks.batch --workload=table   about 10; the same over rows of a table
    python -m benchmarks.batch --quick            that it all runs and agrees, but for Ray and Spark

Every contender is a process of its own, and how fast it is counts without its start-up. The rounds
are interleaved, so that a slow spell of the machine meets all of them. Ray and Spark get an
environment of their own, made when they first run; Spark needs Java 17.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.batch import agreement, report, workloads
from benchmarks.batch.contenders import CONTENDERS, Contender, job_secs_file, of_small_job
from benchmarks.batch.peers import environment as peers
from benchmarks.batch.results import Result, by_growth, by_jobs
from benchmarks.batch.workload import Workload
from benchmarks.support import command_line, machine, measure, sections

_QUICK_RECORDS = 2_000


class Benchmark:
    """Runs contenders, and checks in the first round that they agree.

    Args:
      files: the records and models.
      chosen: the contenders; the bare loop first, which is what the others are compared with.
      records: run each with so many only; None: with its own number.
      keep_outputs: leave what they wrote.
    """

    def __init__(
        self,
        files: Workload,
        chosen: list[Contender],
        records: int | None,
        keep_outputs: bool,
    ) -> None:
        self._files = files
        self._keep = keep_outputs
        self._expected: agreement.Answers | None = None
        self.results = [Result(c, records or c.records) for c in chosen]
        for result in self.results:  # before the first figure is taken
            contender = result.contender
            files.records(result.records, contender.form)
            if contender.has_jobs:
                files.records(of_small_job(result.records), contender.form)

    def round(self, number: int, repeats: int | None) -> None:
        """Runs every contender once, unless it has had its repeats."""
        for result in self.results:
            if number < (repeats or result.contender.repeats):
                self._run(result)

    def at_once(self) -> None:
        """Runs every contender, as many at a time as there are cores.

        That tells whether they run and agree, and nothing about how fast they are.
        """
        first, *others = self.results
        self._run(first)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in [pool.submit(self._run, other) for other in others]:
                done.result()

    def _run(self, result: Result) -> None:
        contender, records = result.contender, result.records
        folder = self._files.folder / "out" / f"{contender.key}-{records}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        output = folder / "predictions"
        run = measure.run(contender.command(self._files, records, output), folder)
        if contender.has_jobs:
            job_secs = json.loads(job_secs_file(output).read_text())
            timed = by_jobs(run, job_secs, of_small_job(records), records)
            job_secs_file(output).unlink()
        else:
            timed = by_growth(run, records)
        result.add(run, timed)
        title = f"{contender.title}, {report.FORMATS[contender.form]}"
        rate = "" if timed.rate is None else f"{timed.rate:>9,.0f} records/s"
        print(f"  {title:40} {records:>9,} records {run.secs:7.2f} s {rate}", flush=True)
        if len(result.runs) == 1:
            self._check(title, folder, records)
        if not self._keep:
            shutil.rmtree(folder)

    def _check(self, title: str, folder: Path, records: int) -> None:
        """Compares with the answers so far, as many as there are.

        Raises:
          DisagreementError: they differ.
        """
        answers = agreement.read(folder, records)
        if self._expected is None or len(answers.labels) > len(self._expected.labels):
            answers, self._expected = self._expected or answers, answers
        agreement.check(title, answers, self._expected)


def main() -> int:
    options = _parse()
    first, *others = CONTENDERS[options.workload]
    chosen = [first, *(c for c in others if c.key in options.contenders)]
    measured_on = machine.describe()
    try:
        if any(contender.is_peer for contender in chosen):
            peers.prepare(java=any(c.key.startswith("spark") for c in chosen))
        files = workloads.WORKLOADS[options.workload].prepare(options.folder)
        benchmark = Benchmark(files, chosen, options.records, options.keep_outputs)
        if options.quick:
            benchmark.at_once()
        rounds = 0 if options.quick else options.repeats or max(c.repeats for c in chosen)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            benchmark.round(number, options.repeats)
    except (measure.FailedError, agreement.DisagreementError, peers.MissingError) as error:
        print(error, file=sys.stderr)
        return 1
    tables = report.tables(benchmark.results)
    print(f"\nAll contenders gave the same answers.\n\n{tables}\n\n{measured_on}")
    if len(chosen) == 1 + len(others) and not options.records:
        publish(options.docs, files, benchmark.results, tables, measured_on)
    return 0


def publish(
    document: Path, files: Workload, results: list[Result], tables: str, measured_on: str
) -> None:
    name, picture = (
        files.batch_section,
        "Records a second of each contender, as a share of a bare loop",
    )
    sections.rewrite(document, name, tables, command_line.used(), measured_on, picture)
    report.draw(results, document.with_name(f"{name}.png"))
    for question, answer, compared in report.summary(results, files.title):
        sections.summarise(document, question, answer, compared)


def _parse() -> argparse.Namespace:
    parser = command_line.parser_with_folder("Compares ways to run an ensemble over files.")
    workloads.add_option(parser)
    keys = dict.fromkeys(c.key for of_one in CONTENDERS.values() for c in of_one)
    parser.add_argument("--records", type=int, help="of each run; default: each contender's own")
    parser.add_argument("--repeats", type=int, help="rounds; default: each contender's own")
    parser.add_argument("--contenders", nargs="*", choices=keys, help="beside the bare loop")
    parser.add_argument("--keep_outputs", action="store_true", help="in FOLDER/out")
    options = parser.parse_args()
    known = CONTENDERS[options.workload]
    if options.contenders is None:
        options.contenders = [c.key for c in known if not (options.quick and c.is_peer)]
    if unknown := set(options.contenders) - {c.key for c in known}:
        parser.error(f"{', '.join(sorted(unknown))}: not with --workload={options.workload}")
    if options.quick:
        options.records = options.records or _QUICK_RECORDS
    return options


if __name__ == "__main__":
    sys.exit(main())
