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
    """Threads granted -> model -> rounds of milliseconds of each thread.

    All models of one number are in one process.
    """
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
    for busiest, second, *_ in use(1)[model]:
        assert second < A_FEW * busiest, use(1)[model]


def test_what_a_torchscript_forks_runs_on_as_many_threads_beside_the_call(use):
    for busiest, _, third, *_ in use(1)["forking_torch"]:
        assert third < A_FEW * busiest, use(1)["forking_torch"]


@pytest.mark.long
@pytest.mark.parametrize("model", [build.__name__ for build in thread_models.SPREAD])
def test_two_threads_granted_are_both_used(model, use):
    # In one round, since where others keep the cores busy the first thread that gets one may do
    # nearly all of a round's work. A second thread that does not exist works in none.
    rounds = use(2)[model]
    assert any(second > A_FEW * busiest for busiest, second, *_ in rounds), rounds
