"""A call keeps as many threads of its process busy as were granted: seen from the outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends import thread_models

ROOT = Path(__file__).parents[2]
A_FEW = 0.25
"""What another thread may use of the busiest one's time, to hand over work and results."""


@pytest.fixture(scope="module")
def use(tmp_path_factory):
    """Threads granted -> model -> milliseconds of each thread, in a process with all models."""
    folder = tmp_path_factory.mktemp("models")
    thread_models.save(folder)
    measured = {}

    def used(threads):
        if threads not in measured:
            command = [sys.executable, "-m", "tests.backends.thread_models", folder, str(threads)]
            # Whatever this process was told, the other must find its bounds by itself.
            environ = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            measured[threads] = json.loads(done.stdout.splitlines()[-1])
        return measured[threads]

    return used


@pytest.mark.parametrize("model", [build.__name__ for build in thread_models.EVERY[:-1]])
def test_one_thread_granted_keeps_one_busy(model, use):
    busiest, second, *_ = [*use(1)[model], 0.0]
    assert second < A_FEW * busiest, use(1)[model]


def test_what_a_torchscript_forks_runs_on_as_many_threads_beside_the_call(use):
    busiest, _, third, *_ = [*use(1)["forking_torch"], 0.0, 0.0]
    assert third < A_FEW * busiest, use(1)["forking_torch"]


@pytest.mark.parametrize("model", [build.__name__ for build in thread_models.SPREAD])
def test_two_threads_granted_are_both_used(model, use):
    busiest, second, *_ = [*use(2)[model], 0.0]
    assert second > A_FEW * busiest, use(2)[model]
