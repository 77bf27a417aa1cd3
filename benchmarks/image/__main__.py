"""The image benchmark: how large it is with which frameworks, and how soon a job in it predicts.

    python -m benchmarks.image           builds four images, about 40 minutes; rewrites its part of
                                         the document
    python -m benchmarks.image --cached  with the layers that are here: times no build
    python -m benchmarks.image --quick   only that it runs, on the smallest image

It needs Docker and the base images. A job in each image gets a small ONNX network and a single
record. Timed from `docker run` are its first line, which comes when the imports are done and the
parameters are checked, and its end, when the prediction is written. The images take turns, so that
each finds its files in the machine's memory but for the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.support import command_line, machine, sections, small_models
from tests.container.images import build, docker

CHOICES = ("tensorflow torch onnx sklearn", "sklearn onnx torch", "sklearn onnx", "onnx")
_HEADER = ("FRAMEWORKS", "PyTorch", "GB", "first line, s", "prediction written, s", "build, s")

_ENSEMBLE = f"""\
name: start
record:
  id: id
  fields: {{x: {{dtype: float32, shape: [{small_models.FEATURES}]}}}}
models:
  - name: network
    framework: onnx
    uri: network.onnx
    inputs: {{x: x}}
    outputs: {{proba: proba}}
output: [proba]
"""


class FailedError(Exception):
    """An image cannot be built, or its job failed; the message shows the end of the output."""


def main() -> int:
    options = _parse()
    measured_on = machine.describe(("apache-beam", "onnxruntime"))
    choices = CHOICES[-1:] if options.quick else CHOICES
    secs: dict[str, list[tuple[float, float]]] = {choice: [] for choice in choices}
    build_secs = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        try:
            for choice in choices:
                build_secs[choice] = _build(choice, cached=options.cached or options.quick)
                print(f"  {choice:30} built in {build_secs[choice]:.0f} s", flush=True)
            for _ in range(options.rounds):
                for choice in choices:
                    first_line, written = _start(choice, Path(folder))
                    secs[choice].append((first_line, written))
                    print(f"  {choice:30} {first_line:6.2f} s {written:6.2f} s", flush=True)
        except FailedError as error:
            print(error, file=sys.stderr)
            return 1
    rows = [
        (
            f"`{choice}`",
            _pytorch(choice),
            f"{_gigabytes(choice):.2f}",
            *(f"{median(each):.1f}" for each in zip(*runs, strict=True)),
            f"{build_secs[choice]:.0f}",
        )
        for choice, runs in secs.items()
    ]
    columns = len(_HEADER) - options.cached  # the time of a build is the last
    table = sections.table(_HEADER[:columns], [row[:columns] for row in rows])
    print(f"\n{table}\n\n{measured_on}")
    if not options.quick:
        sections.rewrite(options.docs, "image", table, command_line.used(), measured_on)
    return 0


def prepare(folder: Path) -> None:
    """Writes an ensemble file, its model and a record."""
    small_models.network(folder / "network.onnx", seed=1)
    (folder / "ensemble.yaml").write_text(_ENSEMBLE)
    record = {"id": "1", "x": [0.5] * small_models.FEATURES}
    (folder / "records.jsonl").write_text(json.dumps(record) + "\n")


def _tag(choice: str) -> str:
    return f"ensemble:bench-{choice.replace(' ', '-')}"


def _build(choice: str, cached: bool) -> float:
    started = time.perf_counter()
    options = [f"--build-arg=FRAMEWORKS={choice}", *(() if cached else ("--no-cache",))]
    built = build(*options, tag=_tag(choice))
    if built.returncode:
        raise FailedError((built.stdout + built.stderr)[-2000:])
    return time.perf_counter() - started


def _gigabytes(choice: str) -> float:
    shown = docker("image", "inspect", "--format={{.Size}}", _tag(choice))
    return int(shown.stdout) / 1e9


def _pytorch(choice: str) -> str:
    """The build of PyTorch in it: PyPI's, without `+cpu`, brings CUDA's libraries."""
    packages = docker(
        *("run", "--rm", "--entrypoint=python", _tag(choice), "-m", "pip", "freeze")
    ).stdout.splitlines()
    return next((line[7:] for line in packages if line.startswith("torch==")), "")


def _start(choice: str, folder: Path) -> tuple[float, float]:
    """Seconds from `docker run` to the job's first line and to its end."""
    first_line = 0.0
    said = []
    started = time.perf_counter()
    with subprocess.Popen(
        _command(_tag(choice), folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            first_line = first_line or time.perf_counter() - started
            said.append(line)
    ended = time.perf_counter() - started
    written = [path.read_text() for path in (folder / "out").glob("predictions-*")]
    if process.returncode or "".join(written).count('"proba"') != 1:
        raise FailedError("".join(said[-20:]))
    return first_line, ended


def _command(image: str, folder: Path) -> Sequence[str]:
    return [
        *("docker", "run", "--rm", "--network=none", f"--user={os.getuid()}:{os.getgid()}"),
        *(f"--volume={folder}:/data", "--entrypoint=python", image, "/template/main.py"),
        "--ensemble_spec=/data/ensemble.yaml",
        "--input_file_pattern=/data/records.jsonl",
        "--output_path=/data/out/predictions",
        "--overwrite=true",
    ]


def _parse() -> argparse.Namespace:
    parser = command_line.parser("Measures the image: its size, its build and its start.")
    parser.add_argument("--cached", action="store_true", help="build with the layers that are here")
    parser.add_argument("--rounds", type=int, help="default 3")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
