"""The benchmark of small bundles: messages that come 1, 8 or 64 at a time, put together or not.

    python -m benchmarks.stream.bundles          about 3 minutes; rewrites its part of the document
    python -m benchmarks.stream.bundles --quick  only that it runs

Messages go through the steps from Decode to Encode with two small ONNX networks, in bundles of so
many, which is what a streaming engine hands out; without and with the step that puts messages
together for 100 ms at most. How many a second of processor time is enough for: a backlog on the
local runner. How long a message takes: eight sources with 20 bundles a second together, on Prism,
since the local runner holds stateful steps back behind endless sources.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from benchmarks.stream.hand_out import Backlog, HandOut, ending
from benchmarks.stream.job import ensemble
from benchmarks.support import command_line, machine, sections
from benchmarks.support.repository import ROOT
from benchmarks.support.small_models import FEATURES
from pipeline.jobs.batch import decode_blocks, encode, serve
from pipeline.jobs.run import beam_options
from pipeline.launch import job as launch
from pipeline.launch.job import Job
from pipeline.launch.options import parse
from pipeline.launch.placement import Placement
from pipeline.runner.finalization import answer_quietly
from pipeline.runner.loopback import stay_on_loopback
from pipeline.transforms.assign_release import AssignPinnedRelease
from pipeline.transforms.collect import CollectMessages
from pipeline.transforms.encode import PREDICTION_MESSAGES
from pipeline.transforms.tally import process_tally

SIZES = (1, 8, 64)
MOST_SECS = 0.1
_SOURCES = 8
_PAUSE_SECS = 0.4  # between two bundles of a source: 20 a second of all
_HEADER = (
    "messages in a bundle",
    "records/CPU s alone",
    "put together",
    "ratio",
    "p50 ms alone",
    "put together",
    "p99 ms alone",
    "put together",
)
_HERE = Placement(intra_op_threads=1, threads_share_models=True, several_processes=False)


@dataclass(frozen=True)
class Found:
    """Of one size of bundles, put together or not; latencies at 20 bundles a second."""

    per_sec: float
    p50_ms: float
    p99_ms: float


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    stay_on_loopback()
    answer_quietly()
    script = ROOT / ".ci" / "prism"
    prism = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    found: dict[tuple[int, bool], Found] = {}
    with tempfile.TemporaryDirectory() as folder:
        job = _checked(Path(folder))
        try:
            _secs(job, 1, 10, False)  # whatever is made once
            for size, together in itertools.product(options.sizes, (False, True)):
                per_sec = _per_sec(job, size, options.bundles, together=together)
                latencies_ms = _latencies_ms(job, prism, size, options.secs, together=together)
                p50_ms, p99_ms = np.percentile(latencies_ms, [50, 99])
                found[size, together] = Found(per_sec, p50_ms, p99_ms)
                print(size, together, found[size, together], flush=True)
        finally:
            job.close()
    print(f"{_table(found)}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, found, measured_on)
    return 0


def publish(document: Path, found: dict[tuple[int, bool], Found], measured_on: str) -> None:
    sections.rewrite(document, "bundles", _table(found), command_line.used(), measured_on)
    alone, together = found[1, False], found[1, True]
    sections.summarise(
        document,
        "Bundles of one message, put together for 100 ms",
        f"{together.per_sec / alone.per_sec:.1f} x the records for a second of processor time",
        f"p99 at 20 records/s: {together.p99_ms:,.0f} ms, otherwise {alone.p99_ms:,.0f} ms",
    )


def _table(found: dict[tuple[int, bool], Found]) -> str:
    rows = []
    for size in sorted({size for size, _ in found}):
        alone, together = found[size, False], found[size, True]
        cells = [f"{alone.per_sec:,.0f}", f"{together.per_sec:,.0f}"]
        cells.append(f"{together.per_sec / alone.per_sec:.2f}")
        for name in ("p50_ms", "p99_ms"):
            cells += [f"{getattr(each, name):,.0f}" for each in (alone, together)]
        rows.append([str(size), *cells])
    return sections.table(_HEADER, rows)


def _checked(folder: Path) -> Job:
    """A job with two small networks, ready to serve."""
    records = folder / "records.jsonl"
    records.write_bytes(b"\n".join(_payloads(8)) + b"\n")
    parsed = parse(
        [
            f"--ensemble_spec={ensemble(folder)}",
            f"--input_file_pattern={records}",
            f"--output_path={folder}/out",
            "--streaming=true",
            "--refresh_mode=off",
        ]
    )
    options = beam_options(parsed.beam_args)
    return launch.check_job(parsed.settings, options, _HERE, lambda text: None)


def _payloads(count: int) -> list[bytes]:
    rows = np.random.default_rng(0).normal(size=(count, FEATURES)).round(4).tolist()
    return [json.dumps({"id": str(number), "x": row}).encode() for number, row in enumerate(rows)]


def _per_sec(job: Job, size: int, bundles: int, *, together: bool) -> float:
    """Records for a second of processor time, without what the start of the runner takes."""
    few = bundles // 10
    secs = _secs(job, size, bundles, together) - _secs(job, size, few, together)
    return size * (bundles - few) / max(secs, 0.001)  # of very few it is all noise


def _secs(job: Job, size: int, bundles: int, together: bool) -> float:
    """Processor time that a backlog of so many bundles takes."""
    tally = process_tally(job.handle.job_key)
    before, began = tally.records(), time.process_time()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        backlog = beam.Create([bundles], reshuffle=False)
        blocks = pipeline | backlog | "Backlog" >> beam.ParDo(Backlog(_payloads(size)))
        _add_steps(blocks, job, together)
    done = tally.records() - before
    assert done == size * bundles, (done, size, bundles)
    return time.process_time() - began


def _latencies_ms(
    job: Job, prism: str, size: int, secs: float, *, together: bool
) -> Sequence[float]:
    """From when a message was handed out until it is encoded, once all is warm."""
    ending.clear()
    tally = process_tally(job.handle.job_key)
    warm = tally.records() + 10 * size
    found: list[float] = []

    def watch() -> None:
        while tally.records() < warm and not ending.wait(0.05):
            continue
        tally.read()
        ending.wait(secs)
        found.extend(tally.read().recent_latencies_ms)
        ending.set()

    watching = threading.Thread(target=watch)
    watching.start()
    options = ["--runner=PrismRunner", f"--prism_location={prism}", "--streaming"]
    try:
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            sources = beam.Create(range(_SOURCES), reshuffle=False)
            hand_out = beam.ParDo(HandOut(_payloads(size), _PAUSE_SECS))
            _add_steps(pipeline | "Sources" >> sources | "HandOut" >> hand_out, job, together)
    finally:
        ending.set()
        watching.join()
    return found


def _add_steps(blocks: Any, job: Job, together: bool) -> None:
    if together:
        blocks = blocks | "Collect" >> CollectMessages(job.row_limits.block_rows, MOST_SECS)
    assign = AssignPinnedRelease(job.handle, job.release)
    batches = blocks | "Decode" >> decode_blocks(job) | "AssignRelease" >> beam.ParDo(assign)
    _ = encode(serve(batches, job), job, (PREDICTION_MESSAGES,))


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what small bundles cost, put together or not.")
    parser.add_argument("--secs", type=float, help="for which latencies are taken; default 10")
    parser.add_argument("--bundles", type=int, help="of a backlog; default 5,000")
    options = parser.parse_args()
    options.secs = options.secs or (1.0 if options.quick else 10.0)
    options.bundles = options.bundles or (20 if options.quick else 5000)
    options.sizes = SIZES[:1] if options.quick else SIZES
    return options


if __name__ == "__main__":
    sys.exit(main())
