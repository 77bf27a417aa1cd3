"""The set-up of a project: by Terraform, by gcloud, and as docs/deploy.md says it; all the same."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import terraform_files
from tests.deploy.empty_project import BUCKET, REPOSITORY, ROOT, EmptyProject, commands

DOCUMENT = (ROOT / "docs/deploy.md").read_text()
# Whoever launches and submits has these names here, so that their roles can be told apart.
PEOPLE = {
    "user:me@example.com SUBMITTER=user:me@": "user:launcher@example.com SUBMITTER=user:submitter@"
}
INPUTS, OUTPUTS = {"records", "refresh"}, {"predictions", "dead-letters", "releases"}


@pytest.fixture(scope="module")
def recipe():
    """The variables of the document and the commands that set the project up."""
    variables, *blocks = re.findall(r"^```bash\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    block = next(block for block in blocks if "gcloud services enable" in block)
    for old, new in PEOPLE.items():
        assert old in block
        block = block.replace(old, new)
    return variables + block


@pytest.fixture(scope="module")
def called(recipe, tmp_path_factory):
    return commands(recipe, tmp_path_factory.mktemp("gcloud"))


@pytest.fixture(scope="module")
def project(called):
    project = EmptyProject()
    for words in called:
        project.run(words)
    return project


@pytest.fixture(scope="module")
def module():
    return terraform_files.load(terraform_files.MODULE)


def documented_roles():
    table = DOCUMENT.partition("<!-- roles -->")[2].partition("<!-- /roles -->")[0]
    who = ""
    for line in table.strip().splitlines()[2:]:
        name, role, on, _ = (cell.strip() for cell in line.strip("|").split("|"))
        who = name or who
        places = {
            "each subscription that a job reads": [f"subscription {name}" for name in INPUTS],
            "each topic that a job writes": [f"topic {name}" for name in OUTPUTS],
        }
        for place in places.get(on, [on]):
            yield who, role.strip("`"), place


def made(project, kind):
    return {name for each, name in project.things if each == kind}


# --- gcloud


def test_commands_work_in_their_order_on_an_empty_project(project):
    assert made(project, "bucket") == {BUCKET}
    assert made(project, "repository") == {REPOSITORY}
    assert made(project, "topic") == INPUTS | OUTPUTS
    assert made(project, "subscription") == INPUTS | {"dead-letters"}
    files = {path.name for path in (ROOT / "examples/monitoring").glob("*.json")}
    installed = str([project.flags[each] for each in project.things if each in project.flags])
    assert all(f"examples/monitoring/{name}" in installed for name in files)
    names = {
        json.loads(path.read_text())["name"]
        for path in (ROOT / "examples/monitoring").glob("log-*")
    }
    assert made(project, "metric") == names


def test_a_command_that_comes_too_early_is_found(called):
    for words in called[1:]:
        project = EmptyProject()
        with pytest.raises(AssertionError, match="is not enabled"):
            project.run(words)
    binding = next(words for words in called if "add-iam-policy-binding" in words)
    project = EmptyProject()
    project.run(called[0])
    with pytest.raises(AssertionError, match="is not there yet"):
        project.run(binding)


def tree_of_gcloud():
    """Commands and flags of gcloud, but for those of alpha and beta: what its completion reads."""
    file = Path(shutil.which("gcloud")).resolve().parents[1] / "data/cli/gcloud_completions.py"
    spec = importlib.util.spec_from_file_location("tree", file)
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    return tree.STATIC_COMPLETION_CLI_TREE


def test_gcloud_has_the_commands_and_flags(called):
    tree, alpha = tree_of_gcloud(), set()
    for words in called:
        given = {word.partition("=")[0] for word in words if word.startswith("-")}
        if words[0] == "alpha":
            alpha.add((tuple(word for word in words if not word.startswith("-")), *sorted(given)))
            continue
        node = tree
        for word in words:
            node = node["commands"].get(word, node)
        assert not node["commands"], f"{words} is a group of commands, or none"
        assert given <= {"--project"} | node["flags"].keys(), words
    for words, *flags in alpha:
        done = subprocess.run(["gcloud", *words, "--help"], capture_output=True, text=True)
        assert all(flag in done.stdout for flag in flags), f"{words}\n{done.stderr}"


def test_what_dataflow_reads_has_neither_dead_letter_policy_nor_exactly_once_delivery(project):
    for name in INPUTS:
        flags = project.flags["subscription", name]
        assert not [flag for flag in flags if "dead-letter" in flag or "exactly-once" in flag]
        assert flags["--expiration-period"] == "never"


def test_roles_of_the_commands_are_those_of_the_table(project):
    assert project.roles == set(documented_roles())


# --- Terraform


def test_provider_knows_every_resource_and_argument(module):
    found = [
        p
        for k, _, c in terraform_files.resources(module)
        for p in terraform_files.argument_problems(k, c)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("google_pubsub_topic", {"name": "a", "label": {}}, "google_pubsub_topic has no label"),
        ("google_pubsub_topic", {}, "google_pubsub_topic lacks name"),
        ("google_topic", {}, "google_topic is not in"),
        (
            "google_storage_bucket",
            {
                "name": "a",
                "location": "b",
                "lifecycle_rule": [{"condition": [{"days": 1}], "action": []}],
            },
            "google_storage_bucket.lifecycle_rule.condition has no days",
        ),
        (
            "google_storage_bucket",
            {
                "name": "a",
                "location": "b",
                "dynamic": [{"encrypt": {"for_each": "", "content": [{}]}}],
            },
            "google_storage_bucket has no encrypt",
        ),
    ],
)
def test_what_the_provider_does_not_know_is_found(kind, content, said):
    assert [p for p in terraform_files.argument_problems(kind, content) if p.startswith(said)]


def test_references_name_what_is_there(module):
    text = "".join(file.read_text() for file in terraform_files.MODULE.glob("*.tf"))
    assert list(terraform_files.reference_problems(text, module)) == []
    broken = text.replace(
        "google_service_account.worker.member", "google_service_account.worker.mail"
    )
    broken = broken.replace("var.region", "var.regoin")
    said = " ".join(terraform_files.reference_problems(broken, module))
    assert "google_service_account.worker exports no mail" in said
    assert "var.regoin is not declared" in said


def test_example_gives_the_module_what_it_needs_and_nothing_else(module):
    given = terraform_files.load(terraform_files.EXAMPLE)["module"][0]["ensemble"]
    variables = {name: content for block in module["variable"] for name, content in block.items()}
    assert given.keys() - {"source"} <= variables.keys()
    assert {name for name, content in variables.items() if "default" not in content} <= given.keys()
    assert (terraform_files.EXAMPLE / given["source"]).resolve() == terraform_files.MODULE


def test_every_variable_and_output_says_what_it_is(module):
    for kind in ("variable", "output"):
        for block in module[kind]:
            for name, content in block.items():
                assert content["description"], name


def test_roles_of_the_module_are_those_of_the_table(module):
    assert terraform_files.roles(module) == set(documented_roles())


def resource(module, kind, name):
    return next(c for k, n, c in terraform_files.resources(module) if (k, n) == (kind, name))


def test_module_and_commands_make_the_same(module, project):
    values = terraform_files.local_values(module)
    services = resource(module, "google_project_service", "api")["for_each"]
    enabled = {name.split(".")[0] for name in terraform_files.names(services, {})}
    assert enabled == made(project, "service")
    for kind in ("topic", "subscription"):
        each = resource(module, f"google_pubsub_{kind}", kind)["for_each"]
        assert terraform_files.names(each, values) == made(project, kind)
    accounts = {
        c["account_id"]
        for k, _, c in terraform_files.resources(module)
        if k == "google_service_account"
    }
    assert accounts == made(project, "service-account")


def test_module_keeps_to_what_the_document_says_of_the_bucket_and_the_subscriptions(module):
    bucket = resource(module, "google_storage_bucket", "ensemble")
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["soft_delete_policy"] == [{"retention_duration_seconds": 0}]
    subscription = resource(module, "google_pubsub_subscription", "subscription")
    assert not {"dead_letter_policy", "enable_exactly_once_delivery"} & subscription.keys()
    assert resource(module, "google_compute_subnetwork", "subnetwork")["private_ip_google_access"]
    assert not [
        k for k, *_ in terraform_files.resources(module) if "router" in k or "nat" in k.split("_")
    ]


def test_days_of_the_life_cycles_are_the_same(module):
    variables = {name: content for block in module["variable"] for name, content in block.items()}
    rules = json.loads((ROOT / "terraform/gcloud/lifecycle.json").read_text())["rule"]
    days = {tuple(r["condition"].get("matchesPrefix", ())): r["condition"]["age"] for r in rules}
    written = {}
    for rule in resource(module, "google_storage_bucket", "ensemble")["lifecycle_rule"]:
        (condition,) = rule["condition"]
        age = str(condition["age"])
        named = re.fullmatch(r"\$\{var\.(\w+)\}", age)
        prefixes = tuple(condition.get("matches_prefix", ()))
        written[prefixes] = int(variables[named[1]]["default"] if named else age)
    assert written == days
    policies = json.loads((ROOT / "terraform/gcloud/cleanup-policies.json").read_text())
    (cleanup,) = resource(module, "google_artifact_registry_repository", "images")[
        "cleanup_policies"
    ]
    assert [policy["name"] for policy in policies] == [cleanup["id"]]
    assert cleanup["condition"] == [{"tag_state": "UNTAGGED", "older_than": f"{30 * 86400}s"}]
    assert policies[0]["condition"] == {"tagState": "untagged", "olderThan": "30d"}


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not here")
def test_files_are_formatted_as_terraform_does(tmp_path):
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", "terraform"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout
