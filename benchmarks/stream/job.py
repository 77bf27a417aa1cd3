"""The job under test: main.py between two topics of the Pub/Sub emulator."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.support.repository import ROOT
from benchmarks.support.small_models import FEATURES, network

_STOP_SECS = 60
_SUMMARY = re.compile(r"^([\d,]+) records: ([\d,]+) predictions, ([\d,]+) dead letters", re.M)


class JobError(Exception):
    """The job ended too early, not at all, or with other counts; the message says which."""


def ensemble(folder: Path) -> Path:
    """Writes two small networks and the ensemble file that averages them."""
    names = ("first", "second")
    for seed, name in enumerate(names):
        network(folder / name / "1" / "model.onnx", seed)
    spec = {
        "name": "benchmark",
        "record": {"id": "id", "fields": {"x": {"dtype": "float32", "shape": [FEATURES]}}},
        "models": [
            {
                "name": name,
                "framework": "onnx",
                "uri": f"{name}/1",
                "inputs": {"x": "x"},
                "outputs": {"proba": f"{name}_proba"},
            }
            for name in names
        ],
        "combine": [
            {"column": "proba", "op": "mean", "of": [f"{name}_proba" for name in names]},
            {"column": "label", "op": "argmax", "of": "proba"},
        ],
        "output": ["label", "proba"],
    }
    path = folder / "ensemble.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


class Job:
    """A running main.py. Ends with the ``with`` block, whatever happens in it.

    Args:
      folder: for its models and its log.
      address: of the emulator.
      subscription: records in.
      topic: predictions out.
    """

    def __init__(self, folder: Path, address: str, subscription: str, topic: str) -> None:
        self._log = folder / "job.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, str(ROOT / "main.py")),
                    f"--ensemble_spec={ensemble(folder)}",
                    f"--input_subscription={subscription}",
                    f"--output_topic={topic}",
                    f"--dead_letter_path={folder}/dead-letters",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PUBSUB_EMULATOR_HOST": address},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Makes sure that it runs.

        Raises:
          JobError: it does not.
        """
        if self._process.poll() is not None:
            raise JobError(f"main.py ended with {self._process.returncode}:\n{self._log_end()}")

    def stop(self) -> tuple[int, int]:
        """Asks it to stop and waits; returns its own counts of predictions and dead letters.

        Raises:
          JobError: it does not end in time, or not with status 0.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_SECS)
        except subprocess.TimeoutExpired:
            raise JobError(f"main.py goes on {_STOP_SECS} s after SIGTERM") from None
        counts = _SUMMARY.search(self._log.read_text())
        if status or counts is None:
            raise JobError(f"main.py stopped with status {status}:\n{self._log_end()}")
        _, predictions, dead_letters = (int(n.replace(",", "")) for n in counts.groups())
        return predictions, dead_letters

    def _log_end(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
