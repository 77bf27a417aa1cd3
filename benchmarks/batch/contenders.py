"""Who takes part. Another contender is one more in the list of a workload."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch.peers import environment as peers
from benchmarks.batch.table.workload import Table
from benchmarks.batch.vectors.workload import Vectors
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


_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def _loop(name: str, form: Format, records: int) -> Contender:
    """The bare loop of a workload."""
    bare = script(f"{name}.bare_loop", f"--format={form}", form=form)
    return Contender(f"bare-{form}", "bare loop", form, "1 x 1", bare, records, repeats=2)


def _two_loops(name: str, form: Format, records: int) -> Contender:
    """Two of them at once."""
    bare = script(f"{name}.bare_loop", f"--format={form}", "--loops=2", form=form)
    return Contender(f"bare-2-{form}", "two bare loops", form, "2 x 1", bare, records, repeats=2)


def _this_project(form: Format, records: int, records_of_two: int) -> list[Contender]:
    """On one worker and on two."""
    title, two = f"ours-{form}", f"ours-2-{form}"
    return [
        Contender(
            title,
            "this project, one worker",
            form,
            _ONE_PROCESS,
            ours(form=form),
            records,
            repeats=2,
        ),
        Contender(
            two,
            "this project, two workers",
            form,
            _TWO_PROCESSES,
            ours(*_WORKERS, form=form),
            records_of_two,
            repeats=2,
        ),
    ]


def _peer(
    key: str, title: str, threads: str, module: str, *arguments: str, form: Format, records: int
) -> Contender:
    """One of another project, in the peers' environment."""
    command = several_jobs(module, f"--format={form}", *arguments, form=form, python=peers.PYTHON)
    return Contender(
        f"{key}-{form}", title, form, threads, command, records, has_jobs=True, is_peer=True
    )


def _spark(name: str, kind: str, form: Format, records: int) -> Contender:
    options = (f"--workload={name}", f"--map={kind}")
    title = f"Spark mapIn{kind.title()}"
    return _peer(
        f"spark-{kind}", title, "2 x 1", "peers.spark_map", *options, form=form, records=records
    )


def _ray(form: Format, records: int) -> Contender:
    title = "Ray Data map_batches"
    return _peer("ray", title, "1 x 1", "peers.ray_map", form=form, records=records)


def _stock(kind: str) -> Contender:
    command = several_jobs(f"stock.{kind}", form="jsonl")
    title = f"stock RunInference, {kind}"
    return Contender(f"stock-{kind}", title, "jsonl", _ONE_PROCESS, command, 15_000, has_jobs=True)


def _of_vectors() -> Iterator[Contender]:
    name = Vectors.name
    yield _loop(name, "jsonl", 1_000_000)
    yield from _this_project("jsonl", 1_000_000, 2_000_000)
    yield _ray("jsonl", 750_000)
    yield from (_spark(name, kind, "jsonl", 750_000) for kind in ("pandas", "arrow"))
    yield _two_loops(name, "jsonl", 2_000_000)
    yield from (_stock(kind) for kind in ("chain", "branches"))
    yield _loop(name, "parquet", 3_000_000)
    yield from _this_project("parquet", 3_000_000, 4_000_000)
    yield _ray("parquet", 2_000_000)
    yield _spark(name, "arrow", "parquet", 2_000_000)


def _of_table() -> Iterator[Contender]:
    records = 1_600_000
    for form in Table.forms:
        yield _loop(Table.name, form, records)
        yield from _this_project(form, records, records)
        yield _spark(Table.name, "arrow", form, records)
        yield _two_loops(Table.name, form, records)


CONTENDERS: Mapping[str, tuple[Contender, ...]] = {
    Vectors.name: tuple(_of_vectors()),
    Table.name: tuple(_of_table()),
}
"""Of each workload; the bare loop over lines is the first."""
