"""Who takes part. Another contender is one more entry of CONTENDERS."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch.peers import environment as peers
from benchmarks.batch.workload import Format, Workload
from benchmarks.support.repository import ROOT

_CORES = os.cpu_count() or 1
_ONE_PROCESS, _TWO_PROCESSES = f"1 x {_CORES}", f"2 x {max(1, _CORES // 2)}"

Command = Callable[[Workload, int, Path], list[str]]
"""Workload, number of records, prefix of the output files -> command line."""


@dataclass(frozen=True)
class Contender:
    """One way to run the ensemble, as a process of its own.

    Attributes:
      key: short name, for the command line and for file names.
      title: its name in the table.
      form: of its input and output.
      threads: processes that call models x threads that one call may use.
      command: runs it.
      records: of a run; slow ones get fewer.
      has_jobs: its run does several, and says how long each took.
      is_peer: whether it runs in the peers' environment.
      repeats: rounds that it takes part in.
    """

    key: str
    title: str
    form: Format
    threads: str
    command: Command
    records: int
    has_jobs: bool = False
    is_peer: bool = False
    repeats: int = 1


def script(
    name: str, *arguments: str, form: Format, python: str | Path = sys.executable
) -> Command:
    """A module of this package."""

    def command(workload: Workload, count: int, output: Path) -> list[str]:
        return [
            *(str(python), "-m", f"{__package__}.{name}", f"--models={workload.models}"),
            *(f"--input={workload.records(count, form)}", f"--output={output}", *arguments),
        ]

    return command


def output_form(form: Format) -> Format:
    """The format of the predictions, by that of the records."""
    return "parquet" if form == "parquet" else "jsonl"


def of_small_job(count: int) -> int:
    """How many records the small jobs of such a run have."""
    return max(1, count // 5)


def job_secs_file(output: Path) -> Path:
    """Where a run of several jobs notes how long they took: beside the folder of its output."""
    return output.parent.with_suffix(".json")


def several_jobs(
    name: str, *arguments: str, form: Format, python: str | Path = sys.executable
) -> Command:
    """A module of this package that runs several jobs."""
    one = script(name, *arguments, form=form, python=python)

    def command(workload: Workload, count: int, output: Path) -> list[str]:
        small = workload.records(of_small_job(count), form)
        more = [f"--small_input={small}", f"--job_secs={job_secs_file(output)}"]
        return [*one(workload, count, output), *more]

    return command


def ours(*beam_options: str, form: Format) -> Command:
    """main.py, as a user would call it."""

    def command(workload: Workload, count: int, output: Path) -> list[str]:
        return [
            *(sys.executable, str(ROOT / "main.py"), f"--ensemble_spec={workload.spec}"),
            *(f"--input_file_pattern={workload.records(count, form)}/*", f"--output_path={output}"),
            *(f"--output_format={output_form(form)}", "--runner=DirectRunner", *beam_options),
        ]

    return command


def _of_format(form: Format) -> list[Contender]:
    """All that take part with both formats."""
    of_form = f"--format={form}"

    def peer(name: str, *arguments: str) -> Command:
        return several_jobs(name, of_form, *arguments, form=form, python=peers.PYTHON)

    workers = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    few, many = (1_000_000, 2_000_000) if form == "jsonl" else (3_000_000, 4_000_000)
    of_peers = 750_000 if form == "jsonl" else 2_000_000
    bare = script("vectors.bare_loop", of_form, form=form)
    return [
        Contender(f"bare-{form}", "bare loop", form, "1 x 1", bare, few, repeats=2),
        Contender(
            f"ours-{form}",
            "this project, one worker",
            form,
            _ONE_PROCESS,
            ours(form=form),
            few,
            repeats=2,
        ),
        Contender(
            f"ours-2-{form}",
            "this project, two workers",
            form,
            _TWO_PROCESSES,
            ours(*workers, form=form),
            many,
            repeats=2,
        ),
        Contender(
            f"ray-{form}",
            "Ray Data map_batches",
            form,
            "1 x 1",
            peer("peers.ray_map"),
            of_peers,
            has_jobs=True,
            is_peer=True,
        ),
        *(
            Contender(
                f"spark-{kind}-{form}",
                f"Spark mapIn{kind.title()}",
                form,
                "2 x 1",
                peer("peers.spark_map", f"--map={kind}"),
                of_peers,
                has_jobs=True,
                is_peer=True,
            )
            for kind in (("pandas", "arrow") if form == "jsonl" else ("arrow",))
        ),
    ]


CONTENDERS = (
    *_of_format("jsonl"),
    Contender(
        "bare-2-jsonl",
        "two bare loops",
        "jsonl",
        "2 x 1",
        script("vectors.bare_loop", "--loops=2", form="jsonl"),
        2_000_000,
        repeats=2,
    ),
    *(
        Contender(
            f"stock-{kind}",
            f"stock RunInference, {kind}",
            "jsonl",
            _ONE_PROCESS,
            several_jobs(f"stock.{kind}", form="jsonl"),
            15_000,
            has_jobs=True,
        )
        for kind in ("chain", "branches")
    ),
    *_of_format("parquet"),
)
