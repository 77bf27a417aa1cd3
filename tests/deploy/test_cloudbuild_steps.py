"""What the steps of cloudbuild.yaml do, run in a shell.

gcloud and docker are stubs here. test_cloudbuild_gcloud.py runs the real gcloud.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import cloud_build
from tests.support.cloud_build import step
from tests.support.cloud_steps import (
    DIGEST,
    DOCKER,
    GCLOUD,
    NAME,
    ROOT,
    SPEC,
    WORKERS,
    Workspace,
)

LATEST = "gs://my-bucket/templates/ensemble/latest.json"
AFTER_TESTS = (
    *("check", "build", "smoke", "installed", "audit", "scan", "push"),
    *("spec", "complete-spec", "publish"),
)


def instead(answer, old, new):
    assert old in answer
    return answer.replace(old, new)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "build")


# --- all steps in their order


def test_build_by_hand_runs_from_check_to_latest(workspace):
    done = workspace.run(*AFTER_TESTS, "move-latest")
    assert done.status == 0, done.stderr
    assert [call[:2] for call in workspace.calls] == [
        ["gcloud", "storage"],  # is the version new?
        ["docker", "build"],
        ["docker", "run"],  # the demo
        ["docker", "run"],  # what it has installed
        ["pip", "install"],
        ["pip-audit", "--requirement=build/cloud/installed.txt"],
        ["gcloud", "artifacts"],  # scan
        ["gcloud", "artifacts"],  # list
        ["docker", "push"],
        ["docker", "push"],  # the cache
        ["docker", "image"],
        ["docker", "build"],  # the launcher's
        ["docker", "push"],
        ["docker", "image"],
        ["gcloud", "dataflow"],
        ["docker", "run"],  # template_spec.py
        ["gcloud", "storage"],
        ["gcloud", "storage"],
    ]
    assert workspace.calls[-1] == ["gcloud", "storage", "cp", SPEC, LATEST]
    assert f"Published {SPEC}, with {DIGEST} and workers of {WORKERS}" in done.stdout


def test_build_step_names_the_image_and_labels_it(workspace):
    workspace.given |= {"COMMIT_SHA": "c" * 40}
    workspace.run("check", "build")
    arguments = workspace.calls[-1][1:]
    assert arguments[0] == "build"
    assert arguments[-1] == "."
    assert {
        "--target=cpu",
        f"--build-arg=IMAGE={NAME}:1.2.0",
        "--build-arg=VERSION=1.2.0",
        f"--build-arg=REVISION={'c' * 40}",
        f"--cache-from={NAME}:cache",
        "--build-arg=BUILDKIT_INLINE_CACHE=1",
        f"--tag={NAME}:1.2.0",
        f"--tag={NAME}:cache",
    } < set(arguments)


def test_build_arguments_are_those_of_the_dockerfile(workspace):
    workspace.run("check", "build")
    dockerfile = (ROOT / "Dockerfile").read_text()
    for argument in workspace.calls[-1]:
        name = argument.removeprefix("--build-arg=").partition("=")[0]
        if argument.startswith("--build-arg=") and name != "BUILDKIT_INLINE_CACHE":
            assert f"\nARG {name}=" in dockerfile
    assert "\nFROM cpu-requirements AS cpu\n" in dockerfile
    assert "\nFROM gpu-requirements AS gpu\n" in dockerfile


def test_triggered_build_takes_the_commit_as_version(workspace):
    workspace.given = {
        "PROJECT_ID": "my-project",
        "SHORT_SHA": "abc1234",
        "COMMIT_SHA": "abc1234" + "0" * 33,
        "_BUCKET": "my-bucket",
    }
    assert workspace.run("check").status == 0
    assert workspace.names()["IMAGE"] == f"{NAME}:abc1234"


def test_trigger_on_a_git_tag_may_take_that_as_version(workspace):
    workspace.given |= {"_TAG": "$TAG_NAME", "TAG_NAME": "v2"}
    assert workspace.run("check").status == 0
    assert workspace.names()["IMAGE"] == f"{NAME}:v2"


def test_gpu_image_and_spec_have_names_of_their_own(workspace):
    workspace.given |= {"_TARGET": "gpu"}
    workspace.run("check", "build")
    assert workspace.names() == {
        "NAME": f"{NAME}-gpu",
        "IMAGE": f"{NAME}-gpu:1.2.0",
        "CACHE": f"{NAME}-gpu:cache",
        "SPEC": "gs://my-bucket/templates/ensemble-gpu/1.2.0.json",
        "LATEST": "gs://my-bucket/templates/ensemble-gpu/latest.json",
    }
    assert "--target=gpu" in workspace.calls[-1]


# --- check


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"_TAG": ""}, "_TAG: found '', expected a version"),
        ({"_TAG": "${SHORT_SHA}"}, "_TAG: found '', expected a version"),
        ({"_TAG": "1.2/0"}, "_TAG: found '1.2/0'"),
        ({"_TAG": "latest"}, "_TAG: 'latest' is taken"),
        ({"_TAG": "cache"}, "_TAG: 'cache' is taken"),
        ({"_TARGET": "tpu"}, "_TARGET: found 'tpu', expected cpu or gpu"),
        ({"_REGION": "US"}, "_REGION: found 'US'"),
        ({"_REPOSITORY": "a/b"}, "_REPOSITORY: found 'a/b'"),
        ({"_BUCKET": ""}, "_BUCKET: found '', expected the name of a bucket"),
        ({"_BUCKET": "gs://my-bucket"}, "_BUCKET: found 'gs://my-bucket'"),
        ({"_FRAMEWORKS": "onnx,torch"}, "_FRAMEWORKS: found 'onnx,torch', expected some of"),
        ({"_FRAMEWORKS": ""}, "_FRAMEWORKS: found ''"),
        ({"_FRAMEWORKS": "onnx", "_TARGET": "gpu"}, "_FRAMEWORKS: the GPU image has all of them"),
        ({"_SCAN": "yes"}, "_SCAN: found 'yes', expected true or false"),
        ({"_BLOCK_SEVERITY": "HIGH|CRITICAL"}, "_BLOCK_SEVERITY: found 'HIGH|CRITICAL'"),
        ({"_SCAN_LOCATION": "us-central1"}, "_SCAN_LOCATION: found 'us-central1'"),
    ],
)
def test_check_refuses_a_substitution_and_names_it(workspace, given, said):
    workspace.given |= given
    done = workspace.run("check")
    assert done.status == 1
    assert f"Not built: {said}" in done.stderr
    assert workspace.calls == []  # nothing was asked of the cloud


def test_check_names_all_that_is_wrong_at_once(workspace):
    workspace.given |= {"_TAG": "", "_BUCKET": "", "_TARGET": "tpu"}
    done = workspace.run("check")
    assert done.stderr.count("Not built: ") == 3


def test_check_takes_no_text_for_a_command(workspace, tmp_path):
    workspace.given |= {"_TAG": f"$$(touch {tmp_path}/ran)"}
    assert workspace.run("check").status == 1
    assert not (tmp_path / "ran").exists()


def test_check_refuses_a_published_version(workspace):
    workspace.stub("gcloud", f"echo {SPEC}")
    done = workspace.run("check")
    assert done.status == 1
    assert f"{SPEC} exists" in done.stderr


def test_check_refuses_a_bucket_that_cannot_be_read(workspace):
    workspace.stub("gcloud", "echo 'ERROR: HTTPError 403: no access' >&2; exit 1")
    done = workspace.run("check")
    assert done.status == 1
    assert "roles/storage.objectUser is needed: ERROR: HTTPError 403" in done.stderr


# --- test


def test_test_step_works_on_a_copy_and_leaves_the_demo_behind(workspace):
    python = workspace.folder / "python"
    workspace.script(python, f'echo "$PWD $*" >>{workspace.folder}/trained')
    workspace.script(
        workspace.path(".ci/run"),
        f"git ls-files >tracked; install -D {python} .venv/bin/python; pwd >{workspace.folder}/in",
    )
    done = workspace.run("check", "test")
    assert done.status == 0, done.stderr
    checkout = Path((workspace.folder / "in").read_text().strip())
    assert checkout != workspace.path(".")
    assert not workspace.path("tracked").exists()
    # Made a repository: the upload of a build by hand is none.
    assert "metadata.json" in (checkout / "tracked").read_text().splitlines()
    assert (workspace.folder / "trained").read_text().splitlines() == [
        f"{checkout} examples/digits/{made}.py --output_dir {workspace.path('build/digits')}"
        for made in ("train", "make_records")
    ]
    shutil.rmtree(checkout)


def test_test_step_fails_with_the_tests(workspace):
    workspace.script(workspace.path(".ci/run"), "exit 7")
    assert workspace.run("check", "test").status == 7
    assert not workspace.path("build/digits").exists()


# --- smoke


def test_smoke_expects_a_result_for_each_line_of_the_demo(tmp_path):
    script = ROOT / "examples/digits/make_records.py"
    subprocess.run([sys.executable, script, "--output_dir", tmp_path], check=True)
    unpack = f"cd {tmp_path}/records && (cat *.jsonl; zcat *.gz) | wc -l"
    lines = int(subprocess.run(["bash", "-c", unpack], capture_output=True, check=True).stdout)
    assert lines == 500 + 9
    expected = "expected='500 predictions and 9 dead letters'"
    assert expected in step(cloud_build.load(), "smoke")["script"]


def test_smoke_runs_the_demo_without_network(workspace):
    workspace.run("check", "smoke")
    run = workspace.calls[-1]
    data = workspace.path("build/digits")
    image = run.index(f"{NAME}:1.2.0")
    assert {"--network=none", f"--volume={data}:/data", "--entrypoint=python"} < set(run[:image])
    assert run[image + 1] == "/template/main.py"
    assert "--input_file_pattern=/data/records/held-out-*" in run


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("", "0 predictions and 0 dead letters"),
        ("seq 499 >predictions-0; seq 9 >dead-letters-0", "499 predictions and 9 dead letters"),
        ("seq 500 >predictions-0; seq 8 >dead-letters-0", "500 predictions and 8 dead letters"),
    ],
)
def test_smoke_counts_what_came_out(workspace, written, found):
    workspace.stub("docker", f"mkdir -p build/digits/out; cd build/digits/out; {written}")
    done = workspace.run("check", "smoke")
    assert done.status == 1
    assert f"found {found}, expected 500 predictions and 9 dead letters" in done.stderr


def test_image_without_some_frameworks_is_started_without_the_demo(workspace):
    workspace.given |= {"_FRAMEWORKS": "sklearn onnx"}
    done = workspace.run("check", "build", "smoke")
    assert done.status == 0
    assert "--build-arg=FRAMEWORKS=sklearn onnx" in workspace.calls[-2]
    assert workspace.calls[-1][-2:] == ["/template/main.py", "--help"]
    assert "Not tried with the demo" in done.stdout


def test_smoke_fails_with_the_demo(workspace):
    workspace.stub("docker", DOCKER + "\nexit 2")
    assert workspace.run("check", "smoke").status == 2


# --- audit


def test_audit_is_of_what_the_image_has_by_the_versions_that_advisories_name(workspace):
    assert workspace.run("check", "installed").status == 0
    installed = workspace.path("build/cloud/installed.txt").read_text().splitlines()
    assert installed == ["numpy==2.4.6", "torch==2.13.0", "pip==25.0"]
    assert f"{NAME}:1.2.0" in workspace.calls[-1]


def test_audit_that_finds_something_ends_the_build_before_the_push(workspace):
    workspace.stub("pip-audit", "exit 1")
    done = workspace.run(*AFTER_TESTS)
    assert done.status == 1
    assert "and why, in accepted-vulnerabilities.txt" in done.stderr
    assert ["docker", "push"] not in [call[:2] for call in workspace.calls]


def test_audit_is_told_what_is_accepted(workspace):
    file = workspace.path("accepted-vulnerabilities.txt")
    file.write_text(
        "PYSEC-1 9999-12-31 not called here\nCVE-2026-2 9999-12-31 x\nCVE-2026-3 2020-12-31 x\n"
    )
    assert workspace.run("check", "installed", "audit").status == 0
    ignored = [word for word in workspace.calls[-1] if word.startswith("--ignore")]
    assert ignored == ["--ignore-vuln=CVE-2026-2", "--ignore-vuln=PYSEC-1"]


def test_audit_fails_where_an_exception_lacks_its_date(workspace):
    workspace.path("accepted-vulnerabilities.txt").write_text("CVE-2026-2 it does no harm\n")
    assert workspace.run("check", "installed", "audit").status == 2
    assert "pip-audit" not in [call[0] for call in workspace.calls]


def test_audit_can_be_switched_off(workspace):
    workspace.given |= {"_SCAN": "false"}
    assert "Not audited" in workspace.run("check", "installed", "audit").stdout
    assert "pip-audit" not in [call[0] for call in workspace.calls]


# --- push


def test_push_notes_the_digests_of_this_repository(workspace):
    assert workspace.run("check", "push").status == 0
    assert [call[2] for call in workspace.calls if call[1] == "push"] == [
        f"{NAME}:1.2.0",
        f"{NAME}:cache",
        f"{NAME}:1.2.0-launcher",
    ]
    assert workspace.names() | {"WORKERS": WORKERS, "DIGEST": DIGEST} == workspace.names()


def test_launcher_names_the_image_of_its_workers_by_digest(workspace):
    assert workspace.run("check", "push").status == 0
    dockerfile = (workspace.folder / "launcher.Dockerfile").read_text()
    assert dockerfile == f"FROM {WORKERS}\nENV ENSEMBLE_IMAGE={WORKERS}\n"


def test_push_without_digest_fails(workspace):
    workspace.stub("docker", "case $1 in image) echo other@sha256:1 ;; esac")
    done = workspace.run("check", "push")
    assert done.status == 1
    assert "has no digest in its registry after the push, only: other@sha256:1" in done.stderr


def test_failed_push_ends_the_build(workspace):
    workspace.stub("docker", "case $1 in push) exit 1 ;; esac")
    assert workspace.run("check", "push", "spec").status == 1
    assert workspace.calls[-1][:2] == ["docker", "push"]


# --- scan


def test_scan_is_of_the_image_that_was_built_here(workspace):
    done = workspace.run("check", "scan")
    assert "0 known vulnerabilities, none with a fix of CRITICAL or higher" in done.stdout
    scan, listing = workspace.calls[-2:]
    assert scan[1:6] == ["artifacts", "docker", "images", "scan", f"{NAME}:1.2.0"]
    assert {"--location=us", "--format=value(response.scan)"} < set(scan)
    assert "--remote" not in scan
    assert listing[4:6] == ["list-vulnerabilities", "projects/my-project/locations/us/scans/1"]


def test_scan_without_result_fails(workspace):
    workspace.stub("gcloud", instead(GCLOUD, "echo projects", "true projects"))
    done = workspace.run("check", "scan")
    assert done.status == 1
    assert "has no result" in done.stderr


def test_scan_that_cannot_be_read_fails(workspace):
    workspace.stub("gcloud", instead(GCLOUD, "echo '[]'", "echo '[{}]'"))
    assert workspace.run("check", "scan").status == 2


def test_scan_can_be_switched_off(workspace):
    workspace.given |= {"_SCAN": "false"}
    done = workspace.run("check", "build", "scan")
    assert done.status == 0
    assert "Not scanned" in done.stdout
    assert workspace.calls[-1][0] == "docker"


def test_image_is_built_when_the_tests_are_done_since_the_machine_has_no_memory_for_both():
    build = cloud_build.load()
    assert build["options"]["machineType"] == "E2_HIGHCPU_8"
    ids = [each["id"] for each in build["steps"]]
    assert ids.index("test") < ids.index("build")
    assert "waitFor" not in step(build, "build")


# --- the spec


def test_spec_is_completed_before_it_is_published(workspace):
    workspace.run(*AFTER_TESTS)
    spec = json.loads(workspace.path("build/cloud/spec.json").read_text())
    assert spec["image"] == DIGEST
    assert spec["metadata"]["streaming"] is True
    assert workspace.calls[-1] == [
        *("gcloud", "storage", "cp", "--if-generation-match=0", "--content-type=application/json"),
        *("build/cloud/spec.json", SPEC),
    ]


def test_spec_that_names_another_image_is_not_published(workspace):
    workspace.stub("gcloud", instead(GCLOUD, "#--image=}", "#--image=}-old"))
    done = workspace.run(*AFTER_TESTS)
    assert done.status == 1
    assert f'image: found "{DIGEST}-old", expected "{DIGEST}"' in done.stderr
    assert workspace.calls[-1][:2] == ["docker", "run"]


def test_latest_stays_where_publishing_fails(workspace):
    workspace.stub(
        "gcloud", GCLOUD + '[[ $1 != storage ]] || { echo "HTTPError 412" >&2; exit 1; }'
    )
    done = workspace.run(*AFTER_TESTS, "move-latest")
    assert done.status == 1
    assert "was not written" in done.stderr
    assert workspace.calls[-1][3] == "--if-generation-match=0"
