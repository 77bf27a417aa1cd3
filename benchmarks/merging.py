"""The merging benchmark: many threads with few rows each, on one model, with and without merging.

    python benchmarks/merging.py            about 1 minute; rewrites the table in docs/benchmarks.md
    python benchmarks/merging.py --quick    only that it runs and every caller gets its own rows

Each thread calls a TensorFlow model of 64-1024-10 neurons with 1 to 8 rows again and again, as the
bundles of a stream do. The variants take turns, so that what else the machine does hits them alike.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import command_line
import machine
import numpy as np
import sections

from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.registry import backend
from pipeline.core.model_spec import TensorflowModel
from pipeline.serving.merging import MergingServable

_MAX_ROWS = 1024
_ROWS = (1, 2, 3, 4, 5, 6, 7, 8)
_HEADER = ("threads", "merging", "calls/s", "of unmerged", "p50 ms", "p99 ms")


@dataclass(frozen=True)
class Measured:
    """What all threads did in one round."""

    calls_per_sec: float
    p50_ms: float
    p99_ms: float


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    with tempfile.TemporaryDirectory() as folder:
        plain = _model(Path(folder))
    variants: dict[str, Servable] = {"no": plain, "yes": MergingServable(plain, ["x"], _MAX_ROWS)}
    found: dict[tuple[int, str], list[Measured]] = {}
    for _ in range(options.rounds):
        for threads in (1, 12):
            for name, servable in variants.items():
                measured = _measure(servable, plain, threads, options.secs)
                found.setdefault((threads, name), []).append(measured)
    figures = sections.table(_HEADER, list(_rows(found)))
    print(f"{figures}\n\n{measured_on}")
    if not options.quick:
        sections.rewrite(
            options.docs, "merging", figures, "python benchmarks/merging.py", measured_on
        )
    return 0


def _model(folder: Path) -> Servable:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    hidden = tf.constant(rng.normal(size=(64, 1024)), tf.float32)
    out = tf.constant(rng.normal(size=(1024, 10)), tf.float32)

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, name="x")])
        def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"proba": tf.nn.softmax(tf.nn.relu(x @ hidden) @ out)}

    network = Network()
    tf.saved_model.save(network, str(folder), {"serving_default": network.serve})
    spec = TensorflowModel(
        name="m", uri="m", framework="tensorflow", inputs={"x": "x"}, outputs={"proba": "p"}
    )
    return backend("tensorflow").load(folder, spec, LoadContext("cpu", os.cpu_count() or 1))


def _measure(servable: Servable, plain: Servable, threads: int, secs: float) -> Measured:
    """Calls of `threads` threads for `secs` seconds.

    Raises:
      AssertionError: a caller got rows that are not its own.
    """
    start, stop = threading.Barrier(threads + 1), threading.Event()
    latencies: list[list[float]] = [[] for _ in range(threads)]
    wrong: list[int] = []

    def call(thread: int) -> None:
        rng = np.random.default_rng(thread)
        batches = [{"x": rng.normal(size=(n, 64)).astype("float32")} for n in _ROWS]
        expected = [plain.predict(batch)["proba"] for batch in batches]
        start.wait()
        turn = thread
        while not stop.is_set():
            turn = (turn + 1) % len(batches)
            began = time.perf_counter()
            proba = servable.predict(batches[turn])["proba"]
            latencies[thread].append(time.perf_counter() - began)
            # Sums of another order differ in their last bits.
            if not np.allclose(proba, expected[turn], atol=1e-4):
                wrong.append(thread)

    workers = [threading.Thread(target=call, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    time.sleep(secs)
    stop.set()
    for worker in workers:
        worker.join()
    assert not wrong, f"threads {sorted(set(wrong))} got rows that are not their own"
    all_ms = 1000 * np.concatenate([np.array(of) for of in latencies])
    p50_ms, p99_ms = np.percentile(all_ms, [50, 99])
    return Measured(len(all_ms) / secs, float(p50_ms), float(p99_ms))


def _rows(found: dict[tuple[int, str], list[Measured]]) -> Sequence[tuple[str, ...]]:
    rows = []
    for (threads, name), rounds in found.items():
        ratios = [
            mine.calls_per_sec / unmerged.calls_per_sec
            for mine, unmerged in zip(rounds, found[threads, "no"], strict=True)
        ]
        rows.append(
            (
                f"{threads}",
                name,
                f"{median(r.calls_per_sec for r in rounds):,.0f}",
                f"{median(ratios):.2f}",
                f"{median(r.p50_ms for r in rounds):.2f}",
                f"{median(r.p99_ms for r in rounds):.2f}",
            )
        )
    return rows


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what merging calls of threads gains.")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--secs", type=float, help="of each variant in a round; default 2")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.secs = options.secs or (0.2 if options.quick else 2.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
