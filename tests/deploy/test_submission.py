"""A job submitted by the real client to a loopback service, and what was submitted executed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import main
from tests.deploy.launching import IMAGE, PROJECT, REGION, ROOT, launch, launcher_arguments
from tests.deploy.stored_job import ROWS, StoredJob
from tests.support.dataflow_service import DataflowService
from tests.support.jobs import expected
from tests.support.pages import Page


@pytest.fixture(scope="module")
def submitted(gcs, tmp_path_factory, artifacts):
    """The job, and the request with which it was created."""
    folder = tmp_path_factory.mktemp("submit")
    job = StoredJob(gcs, folder, artifacts)
    request = job.request(
        {"maxWorkers": 2, "machineType": "g2-standard-8"},
        accelerator="nvidia-l4",
        disk_size_gb="80",
        report_path=f"{job.bucket}/out/report.html",
    )
    (folder / "tmp").mkdir()
    with DataflowService() as service:
        # Only for the name localhost does Beam speak HTTP to the service.
        endpoint = f"--dataflow_endpoint=http://localhost:{service.port}"
        arguments = [*launcher_arguments(request), endpoint, "--no_auth"]
        done = launch(arguments, folder, TMPDIR=str(folder / "tmp"))
    assert done.status == 0, done.stderr
    assert f"submitted job 2025-01-01_00_00_00-{len(service.requests)}" in done.stderr
    # What the workers need they must fetch themselves.
    shutil.rmtree(folder / "tmp")
    assert service.refusals == []
    (request,) = service.requests
    return job, request


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the project's package, installed from its wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy: in the repository, setuptools would add what earlier builds left there.
    source = folder / "source"
    shutil.copytree(ROOT / "pipeline", source / "pipeline")
    for name in ("pyproject.toml", "README.md", *(p.name for p in ROOT.glob("requirements*.in"))):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    return target


def test_service_gets_the_job_with_its_workers(submitted):
    _, request = submitted
    assert (request.kind, request.project, request.region) == ("create", PROJECT, REGION)
    environment = request.body["environment"]
    assert environment["serviceOptions"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    ]
    assert {"use_runner_v2", "no_use_multiple_sdk_containers"} <= set(environment["experiments"])
    (pool,) = environment["workerPools"]
    assert (pool["machineType"], pool["diskSizeGb"]) == ("g2-standard-8", 80)
    (image,) = pool["sdkHarnessContainerImages"]
    assert image["containerImage"] == IMAGE
    version = "beam:version:sdk_base:apache/beam_python3.11_sdk:2.77.0"
    assert version in image["capabilities"]


def test_job_names_the_graph_that_was_staged(submitted, gcs):
    job, request = submitted
    options = request.body["environment"]["sdkPipelineOptions"]["options"]
    staged = gcs.download(options["pipelineUrl"])
    assert options["pipelineProtoHash"] == hashlib.sha256(staged).hexdigest()
    steps = [t.unique_name for t in job.pipeline(request.body).components.transforms.values()]
    for step in ("Read", "Decode", "AssignRelease", "RunInference[net]", "Combine", "Encode"):
        assert any(name.split("/")[0] == step for name in steps), steps


def test_staged_graph_gives_page_and_predictions_of_a_direct_run(
    submitted, installed, tmp_path, gcs
):
    job, request = submitted
    staged = request.body["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    script = shutil.copy(Path(__file__).with_name("run_staged.py"), tmp_path)
    (tmp_path / "tmp").mkdir()
    environ = {**os.environ, "PYTHONPATH": str(installed), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [sys.executable, script, staged], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"package": f"{installed}/pipeline/__init__.py", "predictions": len(ROWS)}
    shipped = {line["id"]: line for line in job.lines("out/p-0")}
    page = Page(gcs.download(f"{job.bucket}/out/report.html").decode())
    assert page.facts["Predictions"] == str(len(ROWS))
    assert dict(page.tables["Parameters that were given"])["machine_type"] == "g2-standard-8"

    direct = job.request(output_path=f"{job.bucket}/direct/p")["parameters"]
    assert main.main([*(f"--{name}={value}" for name, value in direct.items()), "--no_auth"]) == 0
    assert shipped == {line["id"]: line for line in job.lines("direct/p-0")}
    for i, row in enumerate(ROWS):
        y = (expected(row, 1.0) + expected(row, 3.0)) / 2
        np.testing.assert_allclose(shipped[f"r{i}"]["predictions"]["y"], y, rtol=1e-4)
