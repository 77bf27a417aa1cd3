"""Which ports a local run opens: those of its processes, to this machine only."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.jobs import record
from tests.support.sockets import is_loopback, listening

ROOT = Path(__file__).parents[2]


def ports_of(job, *more):
    """The ports that the processes of a job listened on, looked at again and again."""
    for part in range(4):
        job.write_input(*(record(100 * part + i) for i in range(100)), name=f"{part}.jsonl")
    process = subprocess.Popen([sys.executable, "main.py", *job.arguments(*more)], cwd=ROOT)
    found = set()
    ended = threading.Event()

    def look():
        while not ended.wait(0.02):
            found.update(listening(process.pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        assert process.wait() == 0
    finally:
        ended.set()
        looking.join()
    assert len(job.predictions()) == 400
    return found


@pytest.mark.parametrize("mode", ["multi_processing", "multi_threading"])
def test_ports_of_several_workers_answer_this_machine_only(job, mode):
    for model in job.spec["models"]:
        model["model_sharing"] = "vm"
    found = ports_of(job, "--direct_num_workers=2", f"--direct_running_mode={mode}")
    assert len(found) >= 4, "control, data, state and logging"
    assert all(is_loopback(address) for address, _ in found), found


def test_one_process_opens_no_port(job):
    assert ports_of(job) == set()
