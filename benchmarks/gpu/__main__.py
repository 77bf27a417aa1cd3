"""The GPU benchmark: large networks through this project, against the bare framework.

    python -m benchmarks.gpu          about 3 minutes on a GPU; rewrites its part of the document
    python -m benchmarks.gpu --quick  only that it runs and is right; on a CPU where no GPU is

The bare loop does what a script would: rows to the device, the network, its output back. Ours is
the servable that a pipeline calls, with one caller, and with four whose calls meet there. The
contenders take turns, and short ones, so that what else the machine does hits them alike.

Then 12 threads call with 1 to 8 rows each, as the bundles of a stream do, without and with merging.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.calls import merging
from benchmarks.gpu.networks import NETWORKS, SMALL, Network
from benchmarks.support import command_line, machine, sections
from benchmarks.support.arrays import one_array
from pipeline.backends.base import LoadContext, Servable
from pipeline.serving.opening import Opening
from pipeline.spec.model import ModelSpec, OnnxModel, TorchModel

_CALLERS = 4
_BATCHES = 4
_MERGED_THREADS = (1, 12)
_MERGED_ROWS = 128
_TOLERANCES = {"full": 1e-4, "half": 2e-2}
WAYS = ("bare", "one caller", "bare, four threads", "four callers")
_HEADER = ("network", "framework", "precision", *(f"{way}: rows/s" for way in WAYS[:2]), "of bare")
_HEADER += (*(f"{way}: rows/s" for way in WAYS[2:]), "of bare")

Predict = Callable[[np.ndarray], np.ndarray]


class WrongError(Exception):
    """The contenders do not agree."""


@dataclass(frozen=True)
class Contest:
    """A network in one framework and precision, and how fast each way was.

    Attributes:
      rates: way -> rows a second, in each round.
    """

    network: str
    framework: str
    precision: str
    rates: Mapping[str, Sequence[float]]

    def rate(self, way: str) -> float:
        """Rows a second."""
        return median(self.rates[way])

    def of_bare(self, way: str) -> float:
        """Its rate as a share of the bare loop's with as many threads, compared round by round."""
        bare = self.rates[WAYS[WAYS.index(way) - 1]]
        return median(ours / loop for ours, loop in zip(self.rates[way], bare, strict=True))


def main() -> int:
    options = _parse()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if gpu is None and not options.quick:
        print("PyTorch finds no GPU here; --quick runs on the CPU", file=sys.stderr)
        return 1
    import onnxruntime

    measured_on = machine.describe(("numpy", "torch"), gpu)
    measured_on += f"; onnxruntime {onnxruntime.__version__}"
    contests, merged = [], {}
    try:
        for title, network in (SMALL if options.quick else NETWORKS).items():
            with tempfile.TemporaryDirectory() as folder:
                files = network.save(Path(folder))
                for framework, precision in _variants():
                    file, device = files[framework], "cpu" if gpu is None else "gpu"
                    rates = _rates(network, file, framework, precision, device, options)
                    contests.append(Contest(title, framework, precision, rates))
                    print("  ".join(_row(contests[-1])), flush=True)
                    if precision == "half":
                        merged[title] = _merged(network, file, device, options)
    except (WrongError, merging.WrongError) as error:
        print(error, file=sys.stderr)
        return 1
    figures = figures_of(contests, merged, options.rows)
    print(f"\n{figures}\n\n{measured_on}")
    if not options.quick:
        publish(options.docs, contests, figures, measured_on)
    return 0


def _variants() -> Iterator[tuple[str, str]]:
    yield "torch", "full"
    yield "torch", "half"
    yield "onnx", "full"


def _open(
    path: Path, framework: str, precision: str, device: str, call_rows: int, shared: bool
) -> Servable:
    """The servable that a pipeline has, for one caller or several."""
    names: Any = {"name": "m", "uri": "m", "inputs": {"x": "x"}, "outputs": {"output_0": "y"}}
    spec: ModelSpec
    if framework == "torch":
        spec = TorchModel(framework="torch", precision=precision, **names)
    else:
        spec = OnnxModel(framework="onnx", **names)
    context = LoadContext(device, os.cpu_count() or 1, shared, call_rows)
    return Opening(path, spec, context)()


def _bare_torch(path: Path, precision: str, device: str) -> Predict:
    jit: Any = torch.jit
    network = jit.load(path, map_location=device).eval()
    half = (torch.bfloat16 if device == "cpu" else torch.float16) if precision == "half" else None
    network.to(half)

    def predict(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(rows).to(device)
            outputs = network(x.to(half) if x.is_floating_point() else x)
            answer: np.ndarray = outputs.float().cpu().numpy()
            return answer

    return predict


def _bare_onnx(path: Path, precision: str, device: str) -> Predict:
    import onnxruntime

    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    session = onnxruntime.InferenceSession(path, providers=[provider])
    return lambda rows: session.run(None, {"x": rows})[0]


_BARE: Mapping[str, Callable[[Path, str, str], Predict]] = {
    "torch": _bare_torch,
    "onnx": _bare_onnx,
}


def _rates(
    network: Network,
    file: Path,
    framework: str,
    precision: str,
    device: str,
    options: argparse.Namespace,
) -> dict[str, list[float]]:
    """How fast each way is, in each round.

    Raises:
      WrongError: they do not compute the same.
    """
    rng = np.random.default_rng(1)
    batches = [network.rows(rng, options.rows) for _ in range(_BATCHES)]
    ours, shared = (
        _open(file, framework, precision, device, options.rows, shared) for shared in (False, True)
    )
    bare = _BARE[framework](file, precision, ours.device)
    ways: dict[str, tuple[Predict, int]] = {
        "bare": (bare, 1),
        "one caller": (lambda rows: one_array(ours.predict({"x": rows})["output_0"]), 1),
        "bare, four threads": (bare, _CALLERS),
        "four callers": (
            lambda rows: one_array(shared.predict({"x": rows})["output_0"]),
            _CALLERS,
        ),
    }
    tolerance = _TOLERANCES[precision]
    for predict, _ in ways.values():
        for rows in batches:  # which warms up as well
            if not np.allclose(predict(rows), bare(rows), rtol=tolerance, atol=tolerance):
                raise WrongError("this project and the bare framework differ")
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in (WAYS, WAYS[::-1])[number % 2]:
            rates[way].append(_rate(*ways[way], batches, options.secs))
    return rates


def _rate(predict: Predict, callers: int, batches: Sequence[np.ndarray], secs: float) -> float:
    """Rows a second of so many threads, each of which calls again and again."""
    began = [0.0]

    def begin() -> None:
        began[0] = time.perf_counter()

    ready = threading.Barrier(callers, begin)
    done = [0] * callers

    def call(caller: int) -> None:
        for batch in batches[:2]:
            predict(batch)
        ready.wait()
        turn = caller
        while time.perf_counter() - began[0] < secs:
            batch = batches[turn % len(batches)]
            predict(batch)
            done[caller] += len(batch)
            turn += 1

    threads = [threading.Thread(target=call, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began[0])


def _merged(
    network: Network, file: Path, device: str, options: argparse.Namespace
) -> list[merging.Compared]:
    """Small calls of many threads, without and with merging; half precision.

    Raises:
      merging.WrongError: a caller got rows that are not its own.
    """
    plain, shared = (
        _open(file, "torch", "half", device, _MERGED_ROWS, shared) for shared in (False, True)
    )
    rng = np.random.default_rng(0)
    for rows in plain.warm_up_rows:  # as before a release serves
        plain.predict({"x": network.rows(rng, rows)})
        shared.predict({"x": network.rows(rng, rows)})
    found: dict[int, list[tuple[merging.Measured, merging.Measured]]] = {}
    for number in range(options.rounds):
        for threads in _MERGED_THREADS:
            measured = {
                variant: merging.measure(
                    variant, plain, threads, options.secs, network.rows, _TOLERANCES["half"]
                )
                for variant in ((plain, shared), (shared, plain))[number % 2]
            }
            found.setdefault(threads, []).append((measured[plain], measured[shared]))
    return [merging.compare(threads, rounds) for threads, rounds in found.items()]


def figures_of(
    contests: Sequence[Contest], merged: Mapping[str, Sequence[merging.Compared]], rows: int
) -> str:
    calls = sections.table(_HEADER, [_row(contest) for contest in contests])
    small = [(title, *merging.row(compared)) for title, some in merged.items() for compared in some]
    return (
        f"Calls of {rows} rows:\n\n{calls}\n\nCalls of 1 to 8 rows, torch in half precision:\n\n"
        + sections.table(("network", *merging.HEADER), small)
    )


def _row(contest: Contest) -> tuple[str, ...]:
    one, four = (
        (f"{contest.rate(bare):,.0f}", f"{contest.rate(ours):,.0f}", f"{contest.of_bare(ours):.0%}")
        for bare, ours in (WAYS[:2], WAYS[2:])
    )
    return contest.network, contest.framework, contest.precision, *one, *four


def publish(document: Path, contests: Sequence[Contest], figures: str, measured_on: str) -> None:
    sections.rewrite(document, "gpu", figures, command_line.used(), measured_on)
    one, four = (
        "; ".join(
            f"{c.network} {c.framework} {c.of_bare(way):.0%}"
            for c in contests
            if c.precision == "full"
        )
        for way in ("one caller", "four callers")
    )
    sections.summarise(
        document,
        "GPU, large networks in full precision, of the bare framework",
        f"one caller: {one}",
        f"four callers: {four}",
    )


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures large networks on a GPU against the bare framework.")
    parser.add_argument("--rows", type=int, help="of a call; default 64")
    parser.add_argument("--rounds", type=int, help="default 4")
    parser.add_argument("--secs", type=float, help="of each contender in a round; default 0.5")
    options = parser.parse_args()
    options.rows = options.rows or (8 if options.quick else 64)
    options.rounds = options.rounds or (1 if options.quick else 4)
    options.secs = options.secs or (0.1 if options.quick else 0.5)
    return options


if __name__ == "__main__":
    sys.exit(main())
