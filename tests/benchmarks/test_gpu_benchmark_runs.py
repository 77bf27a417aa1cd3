"""The GPU benchmark runs, on the CPU where no GPU is; it compares the outputs itself."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def rows(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.long
def test_each_network_runs_in_each_framework_and_leaves_the_document():
    document = ROOT / "docs" / "benchmarks.md"
    before = document.read_text()
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done.stdout)
    variants = [["torch", "full"], ["torch", "half"], ["onnx", "full"]]
    assert [row[1:3] for row in found[2:8]] == 2 * variants
    assert [row[:2] for row in found[10:]] == [
        [network, threads]
        for network in ("vision, small", "text, small")
        for threads in ("1", "12")
    ]
    assert document.read_text() == before


def test_without_a_gpu_no_figures_are_made():
    command = [sys.executable, "-m", "benchmarks.gpu"]
    environment = {"PATH": "", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "PyTorch finds no GPU here; --quick runs on the CPU" in done.stderr
