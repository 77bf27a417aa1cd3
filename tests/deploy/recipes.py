"""Shell recipes that launch the template, run with the real gcloud against a loopback service."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

_LAUNCHES = ("flex-template run", "flexTemplates:launch")
_FENCE = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"^(?:export )?[A-Z][A-Z0-9_]*=(?!.*\$\().*$", re.MULTILINE)

# For variables that a document leaves to its reader.
_VARIABLES = {
    "PROJECT": "my-project",
    "PROJECT_ID": "my-project",
    "REGION": "europe-west1",
    "BUCKET": "my-bucket",
    "REPOSITORY": "ensembles",
    "TAG": "1a2b3c4",
    "SERVICE_ACCOUNT": "runner@my-project.iam.gserviceaccount.com",
    "SUBNETWORK": "regions/europe-west1/subnetworks/private",
    "JOB_NAME": "ensemble",
}

# gcloud as it is, except for what an account is needed for; curl to the same service.
_PROLOGUE = """
gcloud() {
  case "${1-} ${2-} ${3-}" in
    "auth print-access-token "*) echo a-token ;;
    "dataflow flex-template run") command gcloud "$@" ;;
    *) echo "not to be had in a launch recipe: gcloud $*" >&2; return 1 ;;
  esac
}
curl() { command curl "${@//https:\\/\\/dataflow.googleapis.com/$_SERVICE}"; }
"""


def launch_recipes(document):
    """The shell blocks of a Markdown text that launch the template.

    Each begins with the variables that earlier blocks of the document assign.
    """
    assigned, recipes = [], []
    for block in _FENCE.findall(document):
        if any(launch in block for launch in _LAUNCHES):
            recipes.append("\n".join([*assigned, block]))
        else:
            assigned += _ASSIGNMENT.findall(block)
    return recipes


def run_recipe(recipe, service, folder, cwd=ROOT):
    """Runs a recipe in bash, and returns what it asked the service for, in order.

    `service`: a DataflowService; `folder`: for gcloud's own files.
    """
    before = len(service.requests)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _PROLOGUE + recipe],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("CLOUDSDK_")},
            **_VARIABLES,
            "_SERVICE": service.url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW": f"{service.url}/",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
            "CLOUDSDK_CORE_PROJECT": _VARIABLES["PROJECT"],
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        },
    )
    assert not service.refusals, f"{service.refusals}\n{recipe}"
    assert done.returncode == 0, f"{recipe}\n{done.stdout}\n{done.stderr}"
    return service.requests[before:]


def parameter_problems(parameters):
    """What the service would refuse of a request's parameters, by metadata.json."""
    declared = {
        each["name"]: each
        for each in json.loads((ROOT / "metadata.json").read_text())["parameters"]
    }
    problems = [f"{name}: not in metadata.json" for name in parameters.keys() - declared.keys()]
    for name, each in declared.items():
        value = parameters.get(name)
        if value is None:
            if not each.get("isOptional"):
                problems.append(f"{name}: missing")
            continue
        problems += [
            f"{name}: '{value}' does not match {regex}"
            for regex in each.get("regexes", ())
            if not re.search(regex, value)
        ]
        options = [option["value"] for option in each.get("enumOptions", ())]
        if each["paramType"] == "BOOLEAN":
            options = ["true", "false"]
        if options and value not in options:
            problems.append(f"{name}: '{value}' is none of {options}")
    return problems
