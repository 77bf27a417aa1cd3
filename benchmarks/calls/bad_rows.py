"""The benchmark of bad rows: what records that make a model raise cost the others.

    python -m benchmarks.calls.bad_rows          about 35 seconds; rewrites its part of the document
    python -m benchmarks.calls.bad_rows --quick  only that it runs and rejects exactly the bad rows

A model step gets 8,192 records in batches of 1,024, of which a share makes the model raise. The
models do nothing but take their time: for each call, or for each of its rows, also of calls that
fail. Every run begins with a new step, which has to learn the share of bad rows itself. Times are
of the processor, so that what else the machine does matters little.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.support import command_line, machine, sections
from pipeline.backends.base import Servable
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Array
from pipeline.batch.tensors import Signature
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.model import OnnxModel

_ROWS = 1024
_SHARES = (0.0, 0.001, 0.01, 0.05, 0.3)
HEADER = ("model", "bad rows", "calls", "calls a row", "at most", "seconds", "x clean")


class WrongError(Exception):
    """Other rows were rejected than the bad ones, or one was computed wrongly."""


@dataclass(frozen=True)
class Cost:
    """What a call of a model takes."""

    title: str
    call_secs: float
    row_secs: float = 0.0


COSTS = (
    Cost("1 ms a call", 1e-3),
    Cost("10 us a call", 10e-6),
    Cost("10 us a row", 10e-6, 10e-6),
)


@dataclass(frozen=True)
class Measured:
    """One run over all records."""

    calls: int
    secs: float


Found = Mapping[tuple[Cost, float], Sequence[Measured]]
"""Model and share of bad rows -> its rounds."""


class SlowServable(Servable):
    """Doubles numbers, raises for negative ones, and counts its calls."""

    def __init__(self, cost: Cost) -> None:
        self.signature = Signature()
        self.device = "cpu"
        self.size_bytes = 0
        self.calls = 0
        self._cost = cost

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        end = time.thread_time() + self._cost.call_secs + self._cost.row_secs * len(inputs["x"])
        self.calls += 1
        while time.thread_time() < end:
            pass
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": inputs["x"] * 2}


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    found: dict[tuple[Cost, float], list[Measured]] = {}
    try:
        for number in range(options.rounds):
            for cost in COSTS:
                for share in _SHARES:
                    one = measure(cost, share, options.records, seed=number)
                    found.setdefault((cost, share), []).append(one)
    except WrongError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{table(found, options.records)}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, found, options.records, measured_on)
    return 0


def measure(cost: Cost, share: float, records: int, seed: int) -> Measured:
    """Runs a step over records of which a share is bad.

    Raises:
      WrongError: see there.
    """
    bad = np.random.default_rng(seed).random(records) < share
    column = np.where(bad, -1.0, np.arange(records))
    spec = OnnxModel(name="m", uri="m", framework="onnx", inputs={"x": "x"}, outputs={"y": "y"})
    step, servable = ModelStep(spec, call_rows=_ROWS), SlowServable(cost)
    batches = [_batch(column[start : start + _ROWS]) for start in range(0, records, _ROWS)]
    began = time.thread_time()
    done = [step.run(batch, servable) for batch in batches]
    secs = time.thread_time() - began
    found = np.concatenate([batch.columns["y"] for batch in done])
    rejected = sum(len(batch.rejects) for batch in done)
    if rejected != bad.sum() or not np.array_equal(found, 2 * column[~bad]):
        raise WrongError(f"{rejected} rows were rejected, {bad.sum()} are bad")
    return Measured(servable.calls, secs)


def _batch(column: Array) -> Batch:
    ids = tuple(range(len(column)))
    return Batch(ids=ids, payloads=(b"",) * len(column), columns={"x": column})


def most_calls(share: float, records: int) -> float:
    """The goal: one and a half times what information theory asks for, and 1.05 a row."""
    entropy = sum(-p * log2(p) for p in (share, 1 - share) if p)
    return min(1.5 * records * entropy + records / _ROWS, 1.05 * records)


def table(found: Found, records: int) -> str:
    """The figures, as Markdown."""
    return sections.table(HEADER, [_row(found, key, records) for key in found])


def _row(found: Found, key: tuple[Cost, float], records: int) -> tuple[str, ...]:
    cost, share = key
    calls = median(one.calls for one in found[key])
    return (
        cost.title,
        f"{share:.1%}",
        f"{calls:,.0f}",
        f"{calls / records:.3f}",
        f"{most_calls(share, records):,.0f}",
        f"{median(one.secs for one in found[key]):.3f}",
        f"{times_clean(found, key):.1f}",
    )


def times_clean(found: Found, key: tuple[Cost, float]) -> float:
    """Time in terms of a clean run in the same round; the median of the rounds."""
    clean = found[key[0], 0.0]
    return median(one.secs / other.secs for one, other in zip(found[key], clean, strict=True))


def publish(document: Path, found: Found, records: int, measured_on: str) -> None:
    """Rewrites this benchmark's part of the document."""
    sections.rewrite(document, "bad_rows", table(found, records), command_line.used(), measured_on)
    a_call, _, a_row = COSTS
    calls = median(one.calls for one in found[a_row, 0.01])
    by_row, by_call = (times_clean(found, (cost, 0.01)) for cost in (a_row, a_call))
    sections.summarise(
        document,
        "1% of the records make a model raise",
        f"{by_row:.1f} x the time of a clean run, {calls:,.0f} calls for {records:,} records",
        f"where a call takes 1 ms whatever its rows: {by_call:.0f} x",
    )


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what rows that make a model raise cost the others.")
    parser.add_argument("--records", type=int, help="default 8192")
    parser.add_argument("--rounds", type=int, help="default 2")
    options = parser.parse_args()
    options.records = options.records or (2048 if options.quick else 8192)
    options.rounds = options.rounds or (1 if options.quick else 2)
    return options


if __name__ == "__main__":
    sys.exit(main())
