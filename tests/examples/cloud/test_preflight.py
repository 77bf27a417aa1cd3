"""What is missing is said before anything is made; a dry run makes nothing at all."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def nothing_made(first):
    changed = [each for each in first.project.calls if not each.startswith("GET")]
    looks = ("estIamPermissions", ":getIamPolicy")
    return first.project.jobs == {} and all(each.endswith(looks) for each in changed)


CASES = {
    "api": (
        lambda rights: rights.apis_off.add("dataflow"),
        "gcloud services enable dataflow.googleapis.com --project=test-project",
    ),
    "role": (lambda rights: rights.refused.add("dataflow.jobs.create"), "roles/dataflow.developer"),
    "bucket": (
        lambda rights: rights.refused.add("storage.objects.create"),
        "roles/storage.objectU",
    ),
    "no bucket": (lambda rights: rights.missing.add("/storage/v1/b/"), "does not exist"),
    "bucket elsewhere": (
        lambda rights: setattr(rights, "location", "US-EAST1"),
        "is in us-east1, and the jobs would run in europe-west1",
    ),
    "bucket on another continent": (lambda rights: setattr(rights, "location", "NAM4"), "in nam4"),
    "role of the workers": (
        lambda rights: rights.workers["/projects/"].clear(),
        "run `gcloud projects add-iam-policy-binding test-project --condition=None --member="
        "serviceAccount:ensemble-worker@test-project.iam.gserviceaccount.com "
        "--role=roles/dataflow.worker`",
    ),
    "role of the workers on the bucket": (
        lambda rights: rights.workers["/b/"].clear(),
        "gcloud storage buckets add-iam-policy-binding gs://",
    ),
    "role of the workers on the repository": (
        lambda rights: rights.workers["/repositories/"].clear(),
        "gcloud artifacts repositories add-iam-policy-binding ensembles --project=test-project "
        "--location=europe-west1 --member=",
    ),
    "act as": (
        lambda rights: rights.refused.add("iam.serviceAccounts.actAs"),
        "serviceAccountUser",
    ),
    "account": (lambda rights: rights.missing.add("/serviceAccounts/"), "does not exist"),
    "template": (lambda rights: rights.missing.add("latest.json"), "docs/deploy.md"),
    "image": (
        lambda rights: rights.missing.add("/tags/1.2.0"),
        "ensemble:1.2.0 is not in the regis",
    ),
    "subnetwork": (lambda rights: rights.missing.add("/subnetworks/"), "--subnetwork"),
    "machine": (lambda rights: rights.missing.add("/machineTypes/"), "no zone of europe-west1"),
    "launcher": (lambda rights: setattr(rights, "memory_mb", 2048), "take e2-standard-4"),
    "quota": (lambda rights: setattr(rights, "free_vcpus", 8), " CPUS: 8 free, 28 needed"),
    "quota of a family": (
        lambda rights: vars(rights).update(vcpu_metric="N2_CPUS", free_vcpus=8),
        " N2_CPUS: 8 free, 16 needed",
    ),
    "quota of all regions": (
        lambda rights: setattr(rights, "vcpus_everywhere", 12),
        "CPUS_ALL_REGIONS: 12 free, 28 needed",
    ),
}


@pytest.mark.parametrize(("take", "told"), CASES.values(), ids=CASES)
def test_what_is_missing_is_named_with_the_way_out(launched, take, told):
    first = launched()
    take(first.project.rights)
    run = first.run("--max_minutes=0.02")  # one that starts nevertheless ends soon
    assert (run.status, run.page) == (2, "")
    assert told in run.printed
    assert run.printed.endswith("Not started: nothing was made\n")
    assert nothing_made(first)


def test_private_workers_need_private_access(launched):
    first = launched()
    first.project.rights.private_access = False
    run = first.run("--subnetwork=regions/europe-west1/subnetworks/private")
    assert run.status == 2
    assert "--enable-private-ip-google-access" in run.printed


def test_subnetwork_of_a_shared_vpc_is_looked_up_where_it_is(launched):
    first = launched()
    first.project.rights.missing.add("/projects/test-project/regions/europe-west1/subnetworks/")
    name = "projects/host/regions/europe-west1/subnetworks/private"
    run = first.run(f"--subnetwork={name}", "--max_usd=0.01")
    assert "  subnetwork: private, private access on" in run.printed


def test_image_that_only_the_workers_may_read_is_no_reason_against_the_run(launched):
    first = launched()
    first.project.rights.forbidden.add("/packages/")
    run = first.run("--max_usd=0.01")
    assert "not looked at: you lack roles/artifactregistry.reader" in run.printed
    assert run.printed.count("PROBLEM") == 1  # the cost


@pytest.mark.parametrize("location", ["EU", "EUR4", "europe-west1"])
def test_bucket_of_several_regions_is_near_enough(launched, location):
    first = launched()
    first.project.rights.location = location
    run = first.run("--max_usd=0.01")
    assert f"  region of the bucket: {location.lower()}\n" in run.printed


@pytest.mark.parametrize(
    ("roles", "shown"),
    [
        ({"/projects/": ["roles/editor"]}, "held"),
        ({"/projects/": ["projects/test-project/roles/worker"]}, "held"),
        ({"/projects/": ["roles/dataflow.worker", "roles/storage.admin"], "/b/": []}, "held"),
        ({"/b/": ["roles/storage.objectAdmin"]}, "held"),
    ],
)
def test_roles_of_workers_that_are_enough(launched, roles, shown):
    first = launched()
    first.project.rights.workers |= roles
    run = first.run("--max_usd=0.01")
    assert f"  roles of the workers' account: {shown}\n" in run.printed


@pytest.mark.parametrize(
    ("part", "unseen"),
    [
        ("test-project:getIamPolicy", "resourcemanager.projects.getIamPolicy"),
        ("/iam?optionsRequested", "storage.buckets.getIamPolicy"),
        ("ensembles:getIamPolicy", "artifactregistry.repositories.getIamPolicy"),
    ],
)
def test_policy_that_the_caller_may_not_read_is_no_reason_against_the_run(launched, part, unseen):
    first = launched()
    first.project.rights.forbidden.add(part)
    run = first.run("--max_usd=0.01")
    assert f"not all looked at: you lack {unseen}\n" in run.printed
    assert run.printed.count("PROBLEM") == 1  # the cost


def test_roles_of_workers_that_a_folder_grants_are_not_looked_for(launched):
    first = launched()
    first.project.rights.workers |= {"/projects/": []}
    run = first.run("--inherited_roles", "--max_usd=0.01")
    assert "  roles of the workers' account: not looked at: --inherited_roles\n" in run.printed
    assert not any("getIamPolicy" in each for each in first.project.calls)


def test_run_that_could_cost_more_than_allowed_is_refused(launched):
    first = launched()
    run = first.run("--max_workers=20", "--max_usd=2")
    assert run.status == 2
    assert "more than --max_usd=2" in run.printed
    assert nothing_made(first)


def test_mistakes_on_the_command_line_are_refused(launched):
    first = launched()
    for wrong in ("--max_minutes=0", "--max_usd=-1", "--bucket=a/b", "--remove=everything"):
        run = first.run(wrong)
        assert (run.status, wrong.partition("=")[0] in run.printed) == (2, True)
    assert first.project.calls == []


def test_dry_run_prints_each_kind_of_call_and_makes_none(launched):
    first = launched()
    run = first.run("--dry-run")
    assert run.status == 0, run.printed
    assert first.project.calls == []
    for call in (
        "POST https://cloudresourcemanager.googleapis.com/v1/projects/test-project:testIam",
        "/flexTemplates:launch",
        '"update": true',
        '"requestedState": "JOB_STATE_DRAINED"',
        '"requestedState": "JOB_STATE_CANCELLED"',
        "PUT https://pubsub.googleapis.com/v1/projects/test-project/topics/first-launch-",
        ":setIamPolicy",
        ":publish",
        "DELETE https://pubsub.googleapis.com/v1/projects/test-project/subscriptions/",
        "POST https://storage.googleapis.com/upload/storage/v1/b/",
        "https://logging.googleapis.com/v2/entries:list",
        "/metrics",
        "/messages",
    ):
        assert call in run.printed, call
    assert run.printed.count("would check:") >= 10


@pytest.mark.parametrize(
    ("options", "trains"),
    [("", True), ("--dry-run", False), ("--remove=20261130-084332-0abc", False)],
)
def test_demo_is_trained_only_for_a_run(sketch, options, trains):
    make = ["make", "--dry-run", "first-launch", f"DEMO={sketch}", f"OPTIONS={options}"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ("train.py" in printed) == trains
    assert "first_launch.py" in printed
