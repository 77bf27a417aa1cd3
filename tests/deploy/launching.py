"""main.py as the template launcher runs it: its arguments, and what became of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT, REGION = "test-project", "europe-west1"
IMAGE = "europe-west1-docker.pkg.dev/test-project/ensembles/ensemble:1a2b3c4"

# Fields of a request's `environment` whose name as an option is another one.
_OPTIONS = {
    "maxWorkers": "max_num_workers",
    "kmsKeyName": "dataflow_kms_key",
    "additionalExperiments": "experiments",
    "additionalUserLabels": "labels",
}
_MODULES = """
import atexit, os, sys
def dump():
    with open(os.environ["MODULES_FILE"], "w") as file:
        file.write("\\n".join(sorted(sys.modules)))
atexit.register(dump)
"""


def launcher_arguments(request, template_location=None):
    """The arguments with which the launcher runs main.py.

    All are ``--name=value``: the request's parameters as they are, then the launcher's own. Without
    `template_location`, what somebody passes who submits without a template.

    Args:
      request: the ``launchParameter`` of a request: `jobName`, `parameters`, `environment`.
      template_location: where the job object is to be written.
    """
    arguments = [f"--{name}={value}" for name, value in request["parameters"].items()]
    arguments += [
        "--runner=DataflowRunner",
        f"--project={PROJECT}",
        f"--region={REGION}",
        f"--job_name={request['jobName']}",
    ]
    if template_location:
        arguments.append(f"--template_location={template_location}")
    if request.get("update"):
        arguments.append("--update")
    for field, value in request.get("environment", {}).items():
        name = _OPTIONS.get(field) or re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", field)
        if field == "ipConfiguration":
            arguments.append("--no_use_public_ips")
        elif field == "additionalPipelineOptions":
            arguments += [f"--{option}" for option in value]
        elif isinstance(value, bool):
            arguments += [f"--{name}"] if value else []
        elif isinstance(value, list):
            arguments += [f"--{name}={item}" for item in value]
        elif field != "launcherMachineType":
            text = json.dumps(value) if isinstance(value, dict) else value
            if field == "flexrsGoal":  # the option's values are the API's without this
                text = text.removeprefix("FLEXRS_")
            arguments.append(f"--{name}={text}")
    return arguments


@dataclass(frozen=True)
class Launched:
    """A process that ended; `modules` are the names of what it had imported."""

    status: int
    stdout: str
    stderr: str
    modules: frozenset[str]


def launch(arguments, folder, **environ):
    """Runs main.py in a process of its own, from another folder than the repository's."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_MODULES)
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        # Long before this Beam would have given up retrying; a launch takes seconds.
        timeout=120,
        env={
            **os.environ,
            "ENSEMBLE_IMAGE": IMAGE,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PYTHONPATH": str(site),
            "MODULES_FILE": str(folder / "modules"),
            **environ,
        },
    )
    modules = (folder / "modules").read_text().split("\n")
    return Launched(done.returncode, done.stdout, done.stderr, frozenset(modules))
