"""Jobs in one process: a small one that pays for what a process does once, it again, a large one.

For contenders that hold their output back, so that its growth tells nothing. The difference between
the last two jobs is free of sessions, workers, imports and loaded models.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """The inputs and the output of the jobs."""
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--small_input", required=True, help="folder; what comes of it is dropped")
    parser.add_argument("--input", required=True, help="folder")
    parser.add_argument("--output", required=True, help="folder, or prefix of files")
    parser.add_argument("--job_secs", type=Path, required=True, help="file for a list of seconds")


def run(job: Callable[[str, str], None], options: argparse.Namespace) -> None:
    """Runs a job, of (input, output), over each of the inputs, and notes how long it took."""
    secs = []
    with tempfile.TemporaryDirectory(dir=Path(options.output).parent) as dropped:
        for inputs, output in (
            (options.small_input, f"{dropped}/first"),
            (options.small_input, f"{dropped}/second"),
            (options.input, options.output),
        ):
            began = time.perf_counter()
            job(inputs, output)
            secs.append(time.perf_counter() - began)
    options.job_secs.write_text(json.dumps(secs))
