"""Launch recipes, run with the real gcloud: what they ask for, and that a job accepts it."""

import re
import shlex

import pytest

from pipeline.launch.options import parse
from tests.deploy.launching import IMAGE, launcher_arguments
from tests.deploy.recipes import ROOT, launch_recipes, parameter_problems, run_recipe
from tests.support.dataflow_service import DataflowService

# https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.jobs#Job
JOB_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"


@pytest.fixture(scope="module")
def gcloud_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gcloud")


@pytest.fixture
def run(gcloud_folder):
    """Runs a recipe; returns what the service was asked for."""
    with DataflowService() as service:
        yield lambda recipe: run_recipe(recipe, service, gcloud_folder)


def problems_of(request, monkeypatch):
    """What is wrong with a launch, by metadata.json and by main.py, which the launcher runs."""
    launch = request.body["launchParameter"]
    found = parameter_problems(launch["parameters"])
    if not re.fullmatch(JOB_NAME, launch["jobName"]):
        found.append(f"job name '{launch['jobName']}'")
    spec = launch["containerSpecGcsPath"]
    target = re.fullmatch(r"gs://[^/]+/templates/ensemble(-gpu)?/[^/]+\.json", spec)
    if target is None:
        return [*found, f"no template is written to {spec}"]
    monkeypatch.setenv("ENSEMBLE_IMAGE", IMAGE)
    monkeypatch.setenv("ENSEMBLE_IMAGE_TARGET", "gpu" if target[1] else "cpu")
    parsed = parse(launcher_arguments(launch, "gs://b/staging/job_object"))
    return [*found, *parsed.warnings]


BATCH = """
BUCKET=other-bucket
gcloud dataflow flex-template run "ensemble-$(date +%Y%m%d-%H%M%S)" \\
  --project="$PROJECT" --region="$REGION" \\
  --template-file-gcs-location="gs://$BUCKET/templates/ensemble/latest.json" \\
  --service-account-email="$SERVICE_ACCOUNT" --max-workers=5 --disable-public-ips \\
  --additional-experiments=enable_secure_boot \\
  --parameters=ensemble_spec="gs://$BUCKET/ensemble.yaml" \\
  --parameters="input_file_pattern=gs://$BUCKET/in/*.jsonl,output_path=gs://$BUCKET/out/p"
"""

EVENT_ON_GPU = """
gcloud dataflow flex-template run ensemble \\
  --region="$REGION" --template-file-gcs-location="gs://$BUCKET/templates/ensemble-gpu/$TAG.json" \\
  --parameters="^~^ensemble_spec=gs://$BUCKET/e.yaml~input_subscription=projects/$PROJECT/subscriptions/in\\
~output_topic=projects/$PROJECT/topics/out~dead_letter_topic=projects/$PROJECT/topics/dead\\
~refresh_mode=both~refresh_subscription=projects/$PROJECT/subscriptions/refresh\\
~allowed_model_uris=gs://$BUCKET/a,gs://$BUCKET/b~accelerator=nvidia-l4:1"
"""


def test_a_batch_recipe_asks_for_what_it_says(run, monkeypatch):
    (request,) = run(BATCH)
    assert (request.kind, request.project, request.region) == (
        "launch",
        "my-project",
        "europe-west1",
    )
    launch = request.body["launchParameter"]
    assert launch["parameters"] == {
        "ensemble_spec": "gs://other-bucket/ensemble.yaml",
        "input_file_pattern": "gs://other-bucket/in/*.jsonl",
        "output_path": "gs://other-bucket/out/p",
    }
    environment = launch["environment"]
    assert environment["maxWorkers"] == 5
    assert environment["ipConfiguration"] == "WORKER_IP_PRIVATE"
    assert environment["serviceAccountEmail"] == "runner@my-project.iam.gserviceaccount.com"
    assert environment["additionalExperiments"] == ["enable_secure_boot"]
    assert problems_of(request, monkeypatch) == []


def test_values_with_commas_arrive_whole(run, monkeypatch):
    (request,) = run(EVENT_ON_GPU)
    parameters = request.body["launchParameter"]["parameters"]
    assert parameters["allowed_model_uris"] == "gs://my-bucket/a,gs://my-bucket/b"
    assert parameters["accelerator"] == "nvidia-l4:1"
    assert problems_of(request, monkeypatch) == []


def test_same_launch_through_rest_is_checked_alike(run, monkeypatch):
    rest = """
    curl -X POST -H "Authorization: Bearer $(gcloud auth print-access-token)" \\
      -H "Content-Type: application/json" -d '{"launchParameter": {
        "jobName": "ensemble", "containerSpecGcsPath": "gs://b/templates/ensemble/latest.json",
        "parameters": {"ensemble_spec": "gs://b/e.yaml", "input_file_pattern": "gs://b/in/*",
          "output_path": "gs://b/out/p"}}}' \\
      "https://dataflow.googleapis.com/v1b3/projects/$PROJECT/locations/$REGION/flexTemplates:launch"
    """
    (request,) = run(rest)
    assert request.kind == "launch"
    assert problems_of(request, monkeypatch) == []


def test_field_that_the_api_does_not_know_fails_the_recipe(run):
    body = shlex.quote('{"launchParameter": {"jobName": "e", "parameter": {}}}')
    url = "https://dataflow.googleapis.com/v1b3/projects/p/locations/l/flexTemplates:launch"
    with pytest.raises(AssertionError, match='no field named "parameter"'):
        run(f"curl -X POST -d {body} {url}")


def test_parameters_are_held_against_metadata_json():
    assert parameter_problems(
        {
            "outptu_path": "gs://b/p",
            "input_file_pattern": "in/*",
            "overwrite": "yes",
            "device": "tpu",
        }
    ) == [
        "outptu_path: not in metadata.json",
        "ensemble_spec: missing",
        "input_file_pattern: 'in/*' does not match ^gs://[a-z0-9][a-z0-9._-]*/.+$",
        "overwrite: 'yes' is none of ['true', 'false']",
        "device: 'tpu' is none of ['auto', 'cpu', 'gpu']",
    ]


def test_recipes_are_found_with_the_variables_of_earlier_blocks():
    document = """
```bash
export BUCKET=shop
TAG=7
NOW=$(date)
ls
```
```bash
gcloud dataflow flex-template run a
```
```json
flex-template run
```
"""
    (recipe,) = launch_recipes(document)
    assert recipe == "export BUCKET=shop\nTAG=7\ngcloud dataflow flex-template run a\n"


def test_every_launch_recipe_of_the_documents_asks_for_what_a_job_accepts(run, monkeypatch):
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for document in documents:
        recipes = launch_recipes(document.read_text())
        assert recipes or document.name != "deploy.md", "docs/deploy.md shows no launch"
        for recipe in recipes:
            launches = run(recipe)
            assert launches, recipe
            for request in launches:
                assert problems_of(request, monkeypatch) == [], f"{document.name}:\n{recipe}"
