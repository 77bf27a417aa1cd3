"""The check that the build of the image runs, run here, where there is no GPU."""

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def refused():
    """A check that expects what this machine has not. One that passes: tests/container."""
    return subprocess.run(
        [
            sys.executable,
            ROOT / ".ci/image/check_image.py",
            *("--device=gpu", "--beam_version=2.1.0", "--cuda_family=99"),
        ],
        env={"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )


def test_each_framework_is_named_with_its_version_and_the_device_it_computed_on(refused):
    lines = [line.split() for line in refused.stdout.splitlines()]
    assert [line[-1] for line in lines] == ["cpu"] * 4
    assert ["PyTorch", torch.__version__, "cpu"] in lines
    assert ["ONNX", "Runtime", onnxruntime.__version__, "cpu"] in lines


def test_all_that_is_not_as_expected_is_named_and_fails_the_build(refused):
    assert refused.returncode == 1
    problems = [line for line in refused.stderr.splitlines() if line.startswith("not as expected")]
    for name in ("TensorFlow", "PyTorch", "ONNX Runtime"):
        assert f"not as expected: {name} computes on the cpu, expected the gpu" in problems
        assert any(name in line and "expected 99" in line for line in problems)
    assert any("but boot is the one of 2.1.0" in line for line in problems)
    assert not any("scikit-learn" in line for line in problems)
