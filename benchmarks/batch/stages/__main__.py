"""Where the time of a batch job goes, stage by stage.

    python -m benchmarks.batch.stages                    about 80 seconds; rewrites its part of the
                                                         document
    python -m benchmarks.batch.stages --workload=table   the same of rows of a table
    python -m benchmarks.batch.stages --quick            only that every stage runs

The stages are the steps of the pipeline, called one after the other in this process for each block,
as Beam's fused stage does; every stage counts with its best pass. The total is that of main.py on
one worker, in its best run, start-up apart. What the stages leave of it is Beam's.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch import workloads
from benchmarks.batch.contenders import ours
from benchmarks.batch.report import FORMATS
from benchmarks.batch.results import by_growth
from benchmarks.batch.stages.run import MODELS, PARSE, Stages
from benchmarks.batch.workload import Format, Workload
from benchmarks.support import command_line, machine, measure, pictures, sections

_RECORDS: Mapping[tuple[str, Format], int] = {
    ("vectors", "jsonl"): 1_000_000,
    ("vectors", "parquet"): 3_000_000,
    ("table", "jsonl"): 800_000,
    ("table", "csv"): 800_000,
    ("table", "parquet"): 1_600_000,
}
_REST = "Beam and the rest"
_COLOURS = {
    "read": pictures.SKY,
    "decode": pictures.BLUE,
    "prepare": pictures.RED,
    "models": pictures.ORANGE,
    "combine": pictures.GREEN,
    "encode": pictures.PURPLE,
    "write": pictures.YELLOW,
    _REST: pictures.GREY,
}


@dataclass(frozen=True)
class Explained:
    """Microseconds a record.

    Attributes:
      total: of main.py.
      stages: of each stage, in order.
      parts: of parts of the stages, measured by themselves.
    """

    total: float
    stages: Mapping[str, float]
    parts: Mapping[str, float]

    @property
    def rest(self) -> float:
        """What the stages leave of the total."""
        return self.total - sum(self.stages.values())


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    files = workloads.WORKLOADS[options.workload].prepare(options.folder)
    forms = options.formats or files.forms
    try:
        found = {form: _explain(files, form, options) for form in forms}
    except measure.FailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{_table(found)}\n\n{measured_on}")
    if not options.quick and len(found) == len(files.forms):
        publish(options.docs, files, found, measured_on)
    return 0


def publish(
    document: Path, files: Workload, found: Mapping[Format, Explained], measured_on: str
) -> None:
    name = files.stages_section
    picture = "Microseconds a record by stage"
    sections.rewrite(document, name, _table(found), command_line.used(), measured_on, picture)
    for form, explained in found.items():
        groups = ", ".join(f"{name} {us:.1f}" for name, us in _grouped(explained).items())
        question = f"Time of a {files.noun}, {FORMATS[form]}, one worker"
        sections.summarise(document, question, f"{explained.total:.1f} us: {groups}", "")
    _draw(found, document.with_name(f"{name}.png"))


def _grouped(explained: Explained) -> Mapping[str, float]:
    """Microseconds of the stages and of the rest, the models as one, in the stages' order."""
    spans: dict[str, float] = {}
    for name, us in [*explained.stages.items(), (_REST, explained.rest)]:
        group = "models" if name.startswith("model ") else name
        group = "decode" if group == "assign release" else group
        spans[group] = spans.get(group, 0.0) + us
    return spans


def _explain(files: Workload, form: Format, options: argparse.Namespace) -> Explained:
    """Runs of main.py and passes over the stages, in turn."""
    command = ours(form=form)
    records, of_pass = options.records or _RECORDS[files.name, form], options.pass_records
    rates: list[float] = []
    passes: list[Mapping[str, float]] = []
    parts: list[Mapping[str, float]] = []
    with tempfile.TemporaryDirectory(dir=files.folder) as folder:
        inputs = sorted(files.records(of_pass, form).iterdir())
        _, _, *arguments = command(files, of_pass, Path(folder) / "stages")
        with closing(Stages(arguments, form, os.cpu_count() or 1)) as stages:
            for number in range(options.rounds):
                place = Path(folder) / f"run-{number}"
                place.mkdir()
                run = measure.run(command(files, records, place / "predictions"), place)
                rate = by_growth(run, records).rate
                if options.quick:  # it was all there at once
                    rate = records / run.secs
                rates += [] if rate is None else [rate]
                print(f"  {FORMATS[form]:10} {records:>9,} records {run.secs:7.2f} s", flush=True)
                for _ in range(options.passes):
                    passes.append(stages.run(inputs, Path(folder) / "pass"))
                    parts.append(stages.run_parts(inputs))
    if not rates:
        raise measure.FailedError("main.py ended before its output could be seen to grow")
    return Explained(1e6 / max(rates), _best_us(passes, of_pass), _best_us(parts, of_pass))


def _best_us(passes: Sequence[Mapping[str, float]], records: int) -> Mapping[str, float]:
    return {name: 1e6 / records * min(one[name] for one in passes) for name in passes[0]}


def _table(found: Mapping[Format, Explained]) -> str:
    """A row for each stage, its parts below it; microseconds, and shares of the total."""
    names = [*next(iter(found.values())).stages]
    last_model = [name for name in names if name.startswith("model ")][-1]
    part_behind = {"decode": PARSE, last_model: MODELS}
    values: dict[str, list[float | None]] = {}
    for name in names:
        values[name] = [explained.stages[name] for explained in found.values()]
        if part := part_behind.get(name):
            values[f"- of that: {part}"] = [each.parts.get(part) for each in found.values()]
    values["sum of the stages"] = [each.total - each.rest for each in found.values()]
    values[_REST] = [each.rest for each in found.values()]
    values["total: main.py"] = [each.total for each in found.values()]
    header = ["stage"]
    for form in found:
        header += [f"{FORMATS[form]}: us", "share"]
    rows = []
    for name, of_forms in values.items():
        row = [name]
        for value, explained in zip(of_forms, found.values(), strict=True):
            row += ["", ""] if value is None else [f"{value:.2f}", f"{value / explained.total:.0%}"]
        rows.append(row)
    return sections.table(header, rows)


def _draw(found: Mapping[Format, Explained], path: Path) -> None:
    """A bar for each format, of the stages in their order."""
    picture, panel = pictures.figure(1, 1, 9, 2 + 0.6 * len(found))
    for y, explained in enumerate(found.values()):
        left = 0.0
        for name, us in _grouped(explained).items():
            us = max(us, 0.0)  # noise may leave less than nothing for the rest
            panel.barh(
                y, us, left=left, color=_COLOURS[name], label=None if y else name, height=0.6
            )
            if us > 0.04 * max(each.total for each in found.values()):
                ink = "white" if name == "decode" else "black"
                panel.text(left + us / 2, y, f"{us:.1f}", ha="center", va="center", color=ink)
            left += us
    panel.set_yticks(range(len(found)), [FORMATS[form] for form in found])
    panel.invert_yaxis()
    panel.set_xlabel("microseconds a record, one worker")
    panel.set_title("Where the time of a batch job goes")
    picture.legend(
        loc="outside lower center",
        ncols=len(_grouped(explained)),
        fontsize=10,
        handlelength=1,
        columnspacing=1,
    )
    pictures.save(picture, path)


def _parse() -> argparse.Namespace:
    parser = command_line.parser_with_folder("Says where the time of a batch job goes.")
    workloads.add_option(parser)
    parser.add_argument("--records", type=int, help="of main.py; default 800,000 to 3,000,000")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, help="default: all")
    parser.add_argument("--pass_records", type=int, help="default 200,000")
    parser.add_argument("--rounds", type=int, help="default 2")
    parser.add_argument("--passes", type=int, help="in each round; default 3")
    options = parser.parse_args()
    options.records = options.records or (2_000 if options.quick else None)
    options.pass_records = options.pass_records or (500 if options.quick else 200_000)
    options.rounds = options.rounds or (1 if options.quick else 2)
    options.passes = options.passes or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
