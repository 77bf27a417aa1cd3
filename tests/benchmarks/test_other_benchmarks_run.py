"""The benchmarks of start-up, memory, stages and merging run. No time is asserted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"

pytestmark = pytest.mark.timeout(600)  # many processes, each with its start-up


def rows(script, *options):
    """The cells of the table that a smoke run prints; it leaves the document as it is."""
    before = DOCUMENT.read_text()
    command = [sys.executable, ROOT / "benchmarks" / script, "--quick", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert DOCUMENT.read_text() == before
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_start_up_has_a_row_for_each_contender(tmp_path):
    found = [row[0] for row in rows("start_up.py", f"--folder={tmp_path}")]
    assert found == [
        "bare loop, one thread",
        "this project, one worker",
        "stock RunInference, chain",
    ]


def test_memory_is_compared_at_ten_times_the_records(tmp_path):
    found = rows("memory.py", f"--folder={tmp_path}")
    assert [row[0] for row in found] == ["1,000", "10,000"]
    assert found[0][2] == "1.00"


def test_stages_and_rest_add_up_to_the_total(tmp_path):
    found = {row[0]: row[1:] for row in rows("stages.py", f"--folder={tmp_path}")}
    stages = ["read", "decode", "assign release", "combine", "encode", "write"]
    stages += ["model regression", "model onnx", "model torch"]
    for us in (0, 2):  # the columns of JSON lines and Parquet
        spent = [float(found[stage][us]) for stage in stages]
        assert min(spent) > 0
        assert sum(spent) == pytest.approx(float(found["sum of the stages"][us]), abs=0.1)
        total = float(found["sum of the stages"][us]) + float(found["Beam and the rest"][us])
        assert total == pytest.approx(float(found["total: main.py"][us]), abs=0.1)


def test_merging_gives_every_caller_its_own_rows():
    assert [row[0] for row in rows("merging.py")] == ["1", "2", "4", "8", "12"]


def test_merging_benchmark_refuses_rows_of_others(benchmark_modules):
    from merging import WrongError, _measure

    class Servable:
        def __init__(self, error):
            self.error = error

        def predict(self, inputs):
            return {"proba": inputs["x"][:, :10] + self.error}

    assert _measure(Servable(0), Servable(0), threads=2, secs=0.05).calls_per_sec > 0
    with pytest.raises(WrongError, match=r"threads \[0, 1\] got rows that are not their own"):
        _measure(Servable(np.float32(0.1)), Servable(0), threads=2, secs=0.05)
