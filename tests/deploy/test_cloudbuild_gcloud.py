"""The steps of cloudbuild.yaml with the real gcloud.

The services that it talks to are stubs on the loopback interface. docker is a stub, and so is the
scan itself.
"""

import json
import shutil

import pytest

from tests.support.cloud_services import SCAN, Services, vulnerability
from tests.support.cloud_steps import DIGEST, ROOT, SPEC, Workspace

ALL_BUT_TESTS = (
    *("check", "build", "smoke", "scan", "push"),
    *("spec", "complete-spec", "publish", "move-latest"),
)


@pytest.fixture
def started(tmp_path):
    """A build of version 1.2.0, and the services that gcloud finds."""
    workspace = Workspace(tmp_path / "build")
    # There is no registry that a scan could read the image from.
    scan = f'[[ $4 != scan ]] || {{ echo "{SCAN}"; exit; }}'
    workspace.stub("gcloud", f'{scan}\nexec {shutil.which("gcloud")} "$@"')
    shutil.copy(ROOT / "metadata.json", workspace.path("metadata.json"))
    with Services() as services:
        workspace.environment = {
            **services.environment,
            "CLOUDSDK_CONFIG": str(workspace.folder / "gcloud"),
        }
        yield workspace, services


def test_publishes_a_complete_spec_once(started):
    workspace, services = started
    services.vulnerabilities = [vulnerability("CRITICAL", "CVE-2023-45853", "zlib", fixed=False)]
    done = workspace.run(*ALL_BUT_TESTS)
    assert done.status == 0, done.stderr
    assert sorted(services.objects) == [
        "templates/ensemble/1.2.0.json",
        "templates/ensemble/latest.json",
    ]
    published = json.loads(services.objects["templates/ensemble/1.2.0.json"])
    assert published["image"] == DIGEST
    assert published["metadata"] == json.loads((ROOT / "metadata.json").read_text())
    assert json.loads(services.objects["templates/ensemble/latest.json"]) == published

    assert f"{SPEC} exists" in workspace.run("check").stderr
    again = workspace.run("publish")  # as a build that checked before the other one was done
    assert again.status == 1
    assert "choose another _TAG" in again.stderr


def test_vulnerability_that_has_a_fix_stops_the_build_before_the_push(started):
    workspace, services = started
    services.vulnerabilities = [
        vulnerability("CRITICAL", "CVE-1", "zlib", "zlib-dev", fixed=True),
        vulnerability("CRITICAL", "CVE-2", "perl", fixed=False),
        vulnerability("HIGH", "CVE-3", "openssl", fixed=True),
    ]
    done = workspace.run(*ALL_BUT_TESTS)
    assert done.status == 1
    upgrade = "1:1.2.13.dfsg-1 -> 1:1.2.13.dfsg-2"
    assert done.stdout == f"CRITICAL CVE-1: zlib {upgrade}, zlib-dev {upgrade}\n"
    assert ["docker", "push"] not in [call[:2] for call in workspace.calls]


def test_cannot_list_a_bucket_that_is_not_there(started):
    workspace, services = started
    services.bucket = "another"
    done = workspace.run("check")
    assert done.status == 1
    assert "gs://my-bucket cannot be listed" in done.stderr
