"""What the bare loops share: their command line, and several of them at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.batch.workload import Format

Load = Callable[[Path], Any]
"""Folder of models -> the ensemble as one function."""

Loop = Callable[[Sequence[Path], Path, Any], None]
"""Files of records, file (for Parquet: folder) of predictions, the ensemble -> nothing."""


def main(load: Load, loops: Mapping[Format, Loop]) -> None:
    """Runs a loop by the command line: over one folder, with one format.

    Args:
      load: gets the ensemble; a function of a module, as processes get it by its name.
      loops: for each format; the same.
    """
    parser = argparse.ArgumentParser(description="Runs the benchmark's ensemble in a bare loop.")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True, help="folder")
    parser.add_argument("--output", type=Path, required=True, help="file; for Parquet, folder")
    parser.add_argument("--format", choices=loops, default="jsonl")
    parser.add_argument("--loops", type=int, default=1, help="each with a share of the files")
    options = parser.parse_args()
    loop, paths = loops[options.format], sorted(options.input.iterdir())
    if options.loops == 1:
        loop(paths, options.output, load(options.models))
        return
    with ProcessPoolExecutor(options.loops, get_context("spawn")) as pool:
        for done in [
            pool.submit(
                _run,
                load,
                loop,
                options.models,
                paths[i :: options.loops],
                options.output.with_name(f"{options.output.name}-{i}"),
            )
            for i in range(options.loops)
        ]:
            done.result()


def _run(load: Load, loop: Loop, models: Path, inputs: Sequence[Path], output: Path) -> None:
    loop(inputs, output, load(models))
