"""The sharing benchmark: a call of a model in another process against one in the same process.

    python -m benchmarks.calls.sharing          about 30 seconds; rewrites its part of the document
    python -m benchmarks.calls.sharing --quick  only that it runs and all variants predict the same

The model is an ONNX network of 64-128-10 neurons, so small that the way to it shows. The variants
take turns, so that what else the machine does hits them alike.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from apache_beam.utils.multi_process_shared import MultiProcessShared

from benchmarks.support import command_line, machine, sections
from benchmarks.support.arrays import one_array
from benchmarks.support.small_models import FEATURES, network
from pipeline.backends.base import LoadContext, Servable
from pipeline.batch.columns import Array, Column
from pipeline.batch.release import ModelVersion
from pipeline.connectors.vm_sharing import VmSharing
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.opening import Opening
from pipeline.spec.model import OnnxModel

ROWS = (1, 64, 1024)
DIRECT, SHARED, BEAM = "in the same process", "`model_sharing: vm`", "arrays through Beam"
_HEADER = ("rows of 64 floats", "the model is", "p50 us", "p90 us", "more us", "of direct")

Predict = Callable[[Mapping[str, Array]], Mapping[str, Column]]
Found = dict[tuple[int, str], list[float]]
"""Rows of a call and variant -> seconds of each call."""


def main() -> int:
    options = _parse()
    measured_on = machine.describe()
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder, _variants(Path(folder)) as variants:
        for rows in ROWS:
            x = np.random.default_rng(rows).normal(size=(rows, FEATURES)).astype("float32")
            expected = one_array(variants[DIRECT]({"x": x})["proba"])
            for name, predict in variants.items():
                assert np.array_equal(one_array(predict({"x": x})["proba"]), expected), (name, rows)
            for _ in range(options.rounds):
                for name, predict in variants.items():
                    found.setdefault((rows, name), []).extend(_seconds(predict, x, options.calls))
    print(f"{_table(found)}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, found, measured_on)
    return 0


def publish(document: Path, found: Found, measured_on: str) -> None:
    sections.rewrite(document, "sharing", _table(found), command_line.used(), measured_on)
    direct_us, shared_us, beam_us = (
        1e6 * float(np.median(found[ROWS[-1], name])) for name in (DIRECT, SHARED, BEAM)
    )
    sections.summarise(
        document,
        f"Call of a model in another process, {ROWS[-1]:,} rows",
        f"{shared_us - direct_us:,.0f} us more than in the same process",
        f"Beam's MultiProcessShared alone {beam_us - direct_us:,.0f} us",
    )


def _table(found: Found) -> str:
    return sections.table(_HEADER, list(_lines(found)))


@contextmanager
def _variants(folder: Path) -> Iterator[dict[str, Predict]]:
    path = network(folder / "model.onnx", seed=0)
    spec = OnnxModel(
        name="m", uri=str(path), framework="onnx", inputs={"x": "x"}, outputs={"proba": "p"}
    )
    opening = Opening(path, spec, LoadContext("cpu", os.cpu_count() or 1))
    key = uuid.uuid4().hex
    direct = opening()
    shared = VmSharing(key)(ModelVersion("m", str(path), digest_of(path)), opening)
    beam: MultiProcessShared[_Held] = MultiProcessShared(
        partial(_Held, opening), key, path=str(folder), always_proxy=True, spawn_process=True
    )
    held = beam.acquire()
    yield {DIRECT: direct.predict, SHARED: shared.predict, BEAM: held.predict}
    shared.close()


class _Held:
    """A model behind Beam's own channel."""

    def __init__(self, opening: Opening) -> None:
        self._servable: Servable = opening()

    def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        return self._servable.predict(inputs)


def _seconds(predict: Predict, x: Array, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        predict({"x": x})
        times.append(time.perf_counter() - began)
    return times


def _lines(found: Found) -> Iterator[Sequence[str]]:
    for (rows, name), seconds in found.items():
        p50_us, p90_us = 1e6 * np.percentile(seconds, [50, 90])
        direct_us = 1e6 * np.median(found[rows, DIRECT])
        yield (
            f"{rows}",
            name,
            f"{p50_us:,.0f}",
            f"{p90_us:,.0f}",
            f"{p50_us - direct_us:,.0f}",
            f"{p50_us / direct_us:.1f}",
        )


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures what a call of a shared model costs.")
    parser.add_argument("--rounds", type=int, help="default 4")
    parser.add_argument("--calls", type=int, help="of each variant in a round; default 50")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 4)
    options.calls = options.calls or (3 if options.quick else 50)
    return options


if __name__ == "__main__":
    sys.exit(main())
