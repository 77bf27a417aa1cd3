"""What is missing is said before anything is made; a dry run makes nothing at all."""

import pytest


def nothing_made(first):
    changed = [each for each in first.project.calls if not each.startswith("GET")]
    return first.project.jobs == {} and all("estIamPermissions" in each for each in changed)


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
    run = first.run()
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
