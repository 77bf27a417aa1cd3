"""The merging benchmark: many threads with few rows each, on one model, with and without merging.

    python -m benchmarks.calls.merging          about 40 seconds; rewrites its part of the document
    python -m benchmarks.calls.merging --quick  only that it runs and every caller gets its own rows

Each thread calls a TensorFlow model of 64-1024-10 neurons with 1 to 8 rows again and again, as the
bundles of a stream do. Such a call costs much the same for one row as for fifty. The variants take
turns, and short ones, so that what else the machine does hits them alike.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.support import command_line, machine, pictures, sections
from benchmarks.support.arrays import one_array
from pipeline.backends.base import LoadContext, Servable
from pipeline.backends.registry import backend
from pipeline.serving.merging import CallOutputs, MergingServable
from pipeline.spec.model import TensorflowModel

_MAX_ROWS = 1024
_CHECKED = 41  # one call in so many; not a multiple of 8, so each number of rows has its turn
_ROWS = (1, 2, 3, 4, 5, 6, 7, 8)
THREADS = (1, 2, 4, 8, 12)  # a worker of Dataflow has 12
HEADER = (
    "threads",
    "calls/s unmerged",
    "merged",
    "ratio",
    "p50 ms unmerged",
    "merged",
    "p99 ms unmerged",
    "merged",
    "ratio",
)


class WrongError(Exception):
    """A caller got rows that are not its own."""


@dataclass(frozen=True)
class Measured:
    """What all threads did in one round."""

    calls_per_sec: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Compared:
    """So many threads, without and with merging; medians of the rounds.

    Attributes:
      threads: how many.
      plain, merged: what they did.
      gain: calls/s with merging, in terms of those without in the same round.
      p99_ratio: the same of the latencies.
    """

    threads: int
    plain: Measured
    merged: Measured
    gain: float
    p99_ratio: float


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    with tempfile.TemporaryDirectory() as folder:
        plain = _model(Path(folder))
    merged = MergingServable(plain, ["x"], _MAX_ROWS)
    found: dict[int, list[tuple[Measured, Measured]]] = {threads: [] for threads in THREADS}
    try:
        for number in range(options.rounds):
            for threads, rounds in found.items():
                rounds.append(_round(number, plain, merged, threads, options.secs))
    except WrongError as error:
        print(error, file=sys.stderr)
        return 1
    compared = [compare(threads, rounds) for threads, rounds in found.items()]
    print(f"{_table(compared)}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, compared, measured_on)
    return 0


def _round(
    number: int, plain: Servable, merged: Servable, threads: int, secs: float
) -> tuple[Measured, Measured]:
    """Without and with merging; every other round the other way round.

    Raises:
      WrongError: a caller got rows that are not its own.
    """
    variants = (plain, merged)
    order = variants if number % 2 else variants[::-1]
    measured = {variant: measure(variant, plain, threads, secs) for variant in order}
    return measured[plain], measured[merged]


def publish(document: Path, compared: Sequence[Compared], measured_on: str) -> None:
    table = _table(compared)
    picture = "Calls a second and their latency, by threads"
    sections.rewrite(document, "merging", table, command_line.used(), measured_on, picture)
    most = compared[-1]
    sections.summarise(
        document,
        f"Small calls of {most.threads} threads, merged",
        f"{most.gain:.1f} x the calls/s of unmerged ones, p99 {most.p99_ratio:.2f} x",
        f"one thread: {compared[0].gain:.2f} x",
    )
    _draw(compared, document.with_name("merging.png"))


def _model(folder: Path) -> Servable:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    hidden = tf.constant(rng.normal(size=(64, 1024)), tf.float32)
    out = tf.constant(rng.normal(size=(1024, 10)), tf.float32)

    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"proba": tf.nn.softmax(tf.nn.relu(x @ hidden) @ out)}

    network = tf.Module()
    rows = tf.TensorSpec([None, 64], tf.float32, name="x")
    network.serve = tf.function(serve, input_signature=[rows])
    tf.saved_model.save(network, str(folder), {"serving_default": network.serve})
    spec = TensorflowModel(
        name="m", uri="m", framework="tensorflow", inputs={"x": "x"}, outputs={"proba": "p"}
    )
    return backend("tensorflow").load(folder, spec, LoadContext("cpu", os.cpu_count() or 1))


def features(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Made-up rows of the model's input."""
    return rng.normal(size=(rows, 64)).astype("float32")


def measure(
    servable: Servable,
    plain: Servable,
    threads: int,
    secs: float,
    make_rows: Callable[[np.random.Generator, int], np.ndarray] = features,
    tolerance: float = 1e-4,
) -> Measured:
    """Calls of `threads` threads for `secs` seconds.

    Args:
      servable: what is measured.
      plain: the same model, to tell what it computes for the rows of a call alone.
      make_rows: (generator, number of rows) -> made-up rows of its input ``x``.
      tolerance: by which outputs may differ; sums of another order differ in their last bits.

    Raises:
      WrongError: a caller got rows that are not its own.
    """
    start, stop = threading.Barrier(threads + 1), threading.Event()
    latencies: list[list[float]] = [[] for _ in range(threads)]
    wrong: list[int] = []

    def call(thread: int) -> None:
        rng = np.random.default_rng(thread)
        batches = [{"x": make_rows(rng, n)} for n in _ROWS]
        expected = [plain.predict(batch) for batch in batches]
        start.wait()
        turn = thread
        while not stop.is_set():
            turn += 1
            i = turn % len(batches)
            began = time.perf_counter()
            found = servable.predict(batches[i])
            latencies[thread].append(time.perf_counter() - began)
            # Not every time: it would take as long as what is measured.
            if turn % _CHECKED == 0 and not _agree(found, expected[i], tolerance):
                wrong.append(thread)

    workers = [threading.Thread(target=call, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    time.sleep(secs)
    stop.set()
    for worker in workers:
        worker.join()
    if wrong:
        raise WrongError(f"threads {sorted(set(wrong))} got rows that are not their own")
    all_ms = 1000 * np.concatenate([np.array(of) for of in latencies])
    p50_ms, p99_ms = np.percentile(all_ms, [50, 99])
    return Measured(len(all_ms) / secs, float(p50_ms), float(p99_ms))


def _agree(found: CallOutputs, expected: CallOutputs, tolerance: float) -> bool:
    return all(
        np.allclose(one_array(found[t]), one_array(array), atol=tolerance)
        for t, array in expected.items()
    )


def compare(threads: int, rounds: Sequence[tuple[Measured, Measured]]) -> Compared:
    plain, merged = (
        Measured(*(median(getattr(one, f.name) for one in of) for f in fields(Measured)))
        for of in zip(*rounds, strict=True)
    )
    gain = median(merged.calls_per_sec / plain.calls_per_sec for plain, merged in rounds)
    p99_ratio = median(merged.p99_ms / plain.p99_ms for plain, merged in rounds)
    return Compared(threads, plain, merged, gain, p99_ratio)


def _table(compared: Sequence[Compared]) -> str:
    return sections.table(HEADER, [row(each) for each in compared])


def row(compared: Compared) -> tuple[str, ...]:
    plain, merged = compared.plain, compared.merged
    return (
        f"{compared.threads}",
        f"{plain.calls_per_sec:,.0f}",
        f"{merged.calls_per_sec:,.0f}",
        f"{compared.gain:.2f}",
        f"{plain.p50_ms:.2f}",
        f"{merged.p50_ms:.2f}",
        f"{plain.p99_ms:.2f}",
        f"{merged.p99_ms:.2f}",
        f"{compared.p99_ratio:.2f}",
    )


def _draw(compared: Sequence[Compared], path: Path) -> None:
    """Calls a second, and their latency, by the number of threads."""
    picture, panels = pictures.figure(1, 2, 9, 3.4)
    threads = [each.threads for each in compared]
    of_variants = {
        "merged": (pictures.BLUE, "o", [each.merged for each in compared]),
        "unmerged": (pictures.ORANGE, "s", [each.plain for each in compared]),
    }
    for label, (colour, marker, of) in of_variants.items():
        style = {"color": colour, "marker": marker, "label": label}
        panels[0].plot(threads, [each.calls_per_sec for each in of], **style)
        panels[1].plot(threads, [each.p99_ms for each in of], **style)
    for panel, title in zip(panels, ("calls/s", "p99 latency of a call, ms"), strict=True):
        panel.set_title(title)
        panel.set_xlabel("threads")
        panel.set_xticks(threads)
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.grid(axis="y")
    panels[0].legend()
    pictures.save(picture, path)


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what merging calls of threads gains.")
    parser.add_argument("--rounds", type=int, help="default 20")
    parser.add_argument("--secs", type=float, help="of each variant in a round; default 0.15")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 20)
    options.secs = options.secs or (0.2 if options.quick else 0.15)
    return options


if __name__ == "__main__":
    sys.exit(main())
