"""The benchmark of a slow storage: what reading ahead is worth where reading means waiting.

    python -m benchmarks.batch.slow_storage          about two minutes; rewrites its part of the
                                                     document
    python -m benchmarks.batch.slow_storage --quick  only that it runs

The storage is made up: files of the disk that answer as a bucket does, 16 MiB at a time, after a
while. The stages of the job over rows of a table, in this process, take the blocks of one file as
they are read, and read ahead.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from apache_beam.io.localfilesystem import LocalFileSystem

from benchmarks.batch.contenders import ours
from benchmarks.batch.report import FORMATS
from benchmarks.batch.stages.run import Stages
from benchmarks.batch.table.workload import Table
from benchmarks.batch.workload import Format
from benchmarks.support import command_line, machine, sections
from pipeline.connectors.files.ahead import read_ahead

_SCHEME = "slow"
FETCHED_BYTES = 16 << 20  # as Beam's reader of Cloud Storage does
_HEADER = ("format", "read, then computed, records/s", "read ahead, records/s", "ratio")


class SlowFile(io.RawIOBase):
    """A file whose bytes come in large pieces, each after a while."""

    def __init__(self, path: str, latency_secs: float, bytes_per_sec: float) -> None:
        super().__init__()
        self._file = Path(path).open("rb")  # noqa: SIM115  # closed with this one
        self._size = Path(path).stat().st_size
        self._latency_secs, self._bytes_per_sec = latency_secs, bytes_per_sec
        self._place = 0
        self._fetched = range(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        if self._place >= self._size:
            return 0
        if self._place not in self._fetched:
            self._fetched = range(self._place, min(self._place + FETCHED_BYTES, self._size))
            time.sleep(self._latency_secs + len(self._fetched) / self._bytes_per_sec)
        self._file.seek(self._place)
        data = self._file.read(min(len(buffer), self._fetched.stop - self._place))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class SlowFileSystem(LocalFileSystem):  # type: ignore[misc]  # Beam is untyped
    """The disk by another name, as slow as a bucket; Beam finds it by its scheme."""

    latency_secs: ClassVar = 0.0
    bytes_per_sec: ClassVar = 1.0

    @classmethod
    def scheme(cls) -> str:
        return _SCHEME

    def open(self, path: str, *_: Any, **__: Any) -> io.BufferedReader:
        place = path.removeprefix(f"{_SCHEME}://")
        # A raw file may return fewer bytes than it has; who opens one of Beam gets them all.
        return io.BufferedReader(SlowFile(place, self.latency_secs, self.bytes_per_sec), 1 << 20)


def main() -> int:
    options = _parse()
    SlowFileSystem.latency_secs = options.latency_ms / 1e3
    SlowFileSystem.bytes_per_sec = options.mb_per_sec * 1e6
    measured_on = machine.describe()
    files = Table.prepare(options.folder)
    rows = []
    for form in files.forms:
        plain, ahead = _rates(files, form, options.records, options.rounds)
        rows.append((FORMATS[form], f"{plain:,.0f}", f"{ahead:,.0f}", f"{ahead / plain:.2f} x"))
    table = sections.table(_HEADER, rows)
    print(f"\n{table}\n\n{measured_on}")
    if not options.quick:
        sections.rewrite(options.docs, "slow-storage", table, command_line.used(), measured_on)
        ratios = ", ".join(f"{form} {ratio}" for form, _, _, ratio in rows)
        sections.summarise(options.docs, "Reading ahead from a slow storage", ratios, "")
    return 0


def _rates(files: Table, form: Format, records: int, rounds: int) -> tuple[float, float]:
    """Records a second in the best round of each."""
    path = min(files.records(records, form).iterdir())
    _, _, *arguments = ours(form=form)(files, records, files.folder / "out" / "slow")
    best: defaultdict[bool, float] = defaultdict(float)
    with closing(Stages(arguments, form, os.cpu_count() or 1)) as stages:
        for _ in range(rounds):
            for ahead in (False, True):
                blocks = stages.blocks(path, f"{_SCHEME}://")
                began = time.perf_counter()
                stages.compute(read_ahead(blocks) if ahead else blocks)
                rate = records / (time.perf_counter() - began)
                best[ahead] = max(best[ahead], rate)
                print(f"  {form} {'ahead' if ahead else 'plain'} {rate:,.0f} records/s", flush=True)
    return best[False], best[True]


def _parse() -> argparse.Namespace:
    parser = command_line.parser_with_folder("Measures what reading ahead is worth.")
    parser.add_argument("--records", type=int, help="of one file; default 200,000")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--latency_ms", type=float, default=100, help="of a fetch; default 100")
    parser.add_argument("--mb_per_sec", type=float, default=60, help="of a fetch; default 60")
    options = parser.parse_args()
    options.records = options.records or (400 if options.quick else Table.part_rows)
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
