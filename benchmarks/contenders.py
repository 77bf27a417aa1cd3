"""Who takes part. Another contender is one more entry of CONTENDERS."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from workload import Workload

_HERE = Path(__file__).parent
_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Contender:
    """One way to run the ensemble, as a process of its own.

    Attributes:
      key: short name, for the command line and for file names.
      title: its name in the table.
      threads: processes that call models x threads that one call may use.
      command: workload, number of records, prefix of its output files -> command line.
      shares: its two sizes, as shares of the benchmark's records.
    """

    key: str
    title: str
    threads: str
    command: Callable[[Workload, int, Path], list[str]]
    shares: tuple[Fraction, Fraction] = (Fraction(1, 8), Fraction(1))

    def sizes(self, records: int) -> tuple[int, int]:
        """How many records its short and its long run get."""
        small, large = self.shares
        return max(1, int(records * small)), max(1, int(records * large))


def _script(name: str, *arguments: str) -> Callable[[Workload, int, Path], list[str]]:
    def command(workload: Workload, count: int, output: Path) -> list[str]:
        return [
            *(sys.executable, str(_HERE / name), f"--models={workload.models}"),
            *(f"--input={workload.records(count)}", f"--output={output}", *arguments),
        ]

    return command


def _ours(*beam_options: str) -> Callable[[Workload, int, Path], list[str]]:
    def command(workload: Workload, count: int, output: Path) -> list[str]:
        return [
            *(sys.executable, str(_HERE.parent / "main.py"), f"--ensemble_spec={workload.spec}"),
            *(f"--input_file_pattern={workload.records(count)}", f"--output_path={output}"),
            *("--runner=DirectRunner", *beam_options),
        ]

    return command


BARE = Contender(  # with as many threads as this project grants its models on one worker
    key="bare",
    title="bare loop",
    threads=f"1 x {_CORES}",
    command=_script("bare_loop.py", f"--threads={_CORES}"),
)
STOCK = Contender(
    key="stock",
    title="stock RunInference chain",
    threads=f"1 x {_CORES}",
    command=_script("stock_chain.py"),
    shares=(Fraction(1, 40), Fraction(1, 8)),  # slow enough to be told from its start-up earlier
)
BARE_ONE_THREAD = Contender(
    key="bare-1",
    title="bare loop, one thread",
    threads="1 x 1",
    command=_script("bare_loop.py", "--threads=1"),
)
CONTENDERS = (
    BARE,
    BARE_ONE_THREAD,
    Contender("ours", "this project, one worker", f"1 x {_CORES}", _ours()),
    Contender(
        key="ours-2",
        title="this project, two workers",
        threads=f"2 x {max(1, _CORES // 2)}",
        command=_ours("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
        # Two and eighteen ranges of 32 MiB: each time, both workers get the same share. Starting
        # them takes long, and never equally long: less to do would drown in that.
        shares=(Fraction(1, 3), Fraction(3)),
    ),
    STOCK,
)
