"""`model_sharing: vm` in a job of several processes, from its ensemble file."""

import json
import os

import pytest

from pipeline.serving.shared.host import started
from tests.support import models
from tests.support.jobs import record
from tests.support.waiting import wait_until

PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


@pytest.fixture
def shared(job):
    """The job with two models that share, one of which notes who loads it."""
    job.spec["models"][0]["model_sharing"] = job.spec["models"][1]["model_sharing"] = "vm"
    models.numpy_weights(job.folder / "noted/1", scale=1.0)
    job.spec["models"].append(
        {
            "name": "noted",
            "framework": "python",
            "uri": "tests.support.steps:Watched",
            "path": "noted/1",
            "inputs": {"x": "x"},
            "outputs": {"y": "noted_y"},
            "independent_rows": False,  # it gives every row the number of rows of the call
            "model_sharing": "vm",
        }
    )
    for part in range(4):
        rows = (record(f"{part}-{i}", [part, i, 0.5, 1]) for i in range(100))
        job.write_input(*rows, name=f"{part}.jsonl")
    return job


def _predictions(job):
    found = {p["id"]: json.dumps(p["predictions"]) for p in job.predictions()}
    assert len(found) == len(job.predictions()) == 400
    return found


def test_job_of_two_processes_predicts_as_unshared_and_loads_each_model_once(shared, capsys):
    assert shared.run(*PROCESSES) == 0
    together = _predictions(shared)
    lines = (shared.folder / "noted/events").read_text().splitlines()
    pids = [int(line.split()[2]) for line in lines if line.startswith("loaded")]
    assert len(pids) == 3, "once for the trial, once for the checks, once for both processes"
    assert pids[1] == os.getpid()
    assert os.getpid() not in (pids[0], pids[2])
    wait_until(lambda: started(pids[0]) is started(pids[2]) is None)
    for model in shared.spec["models"]:
        del model["model_sharing"]
    assert shared.run(*PROCESSES, "--overwrite=true") == 0
    assert _predictions(shared) == together


def test_one_process_says_that_there_is_nothing_to_share(shared, capsys):
    assert shared.run() == 0
    said = "one process serves, so `model_sharing: vm` has no effect on linear, net, noted"
    assert said in capsys.readouterr().err
    assert shared.run("--dry_run") == 0
    assert said not in capsys.readouterr().err, "where the job will run is not known"
