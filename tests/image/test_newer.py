"""What finds newer versions, and the groups in which a bot proposes them."""

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BOT = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
GROUPS = {
    name: group["patterns"]
    for update in BOT["updates"]
    if update["package-ecosystem"] == "pip"
    for name, group in update["groups"].items()
}


def group_of(package):
    found = [
        n for n, patterns in GROUPS.items() if any(fnmatch.fnmatch(package, p) for p in patterns)
    ]
    assert len(found) < 2, f"{package} is in {found}"
    return found[0] if found else None


def test_what_must_move_together_is_in_one_group():
    nvidia = re.findall(
        r"^(nvidia-[\w-]+)==", (ROOT / "requirements-gpu.txt").read_text(), re.MULTILINE
    )
    assert {group_of(p) for p in ("torch", "triton", "onnxruntime-gpu", *nvidia)} == {"cuda"}
    assert {group_of(p) for p in ("apache-beam", "protobuf", "google-cloud-pubsub")} == {"beam"}
    assert {group_of(p) for p in ("tensorflow", "tensorflow-hub", "tf-keras")} == {"tensorflow"}


def test_direct_requirements_have_one_group_at_most():
    for file in ROOT.glob("requirements*.in"):
        for package in re.findall(r"^([\w.-]+)(?:\[.*\])?==", file.read_text(), re.MULTILINE):
            group_of(package)


def test_newer_versions_are_named_beside_the_pinned_ones(tmp_path):
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("Dockerfile", "requirements-common.in"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "requirements-common.in").write_text(
        "apache-beam[gcp]==9.1\nnumpy==1.0\nold==1.0\n"
    )
    stubs = {
        ".venv/bin/python": 'case $5 in apache-beam) echo "a (9.1)" ;; numpy) echo "n (2.0)" ;; '
        "*) exit 1 ;; esac",
        "bin/gcloud": 'echo "a-date a-tag sha256:1"; echo "$@" >called',
    }
    for name, text in stubs.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci/newer"],
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "  numpy: 1.0 -> 2.0\n  old: 1.0 -> not found\n" in done.stdout
    assert "apache-beam:" not in done.stdout
    assert "expected 9.1 as in requirements-common.in" in done.stdout
    assert "  a-date a-tag sha256:1\n" in done.stdout
    assert "python311-template-launcher-base" in (tmp_path / "called").read_text()
    assert "python:3.11-slim-bookworm" in done.stdout
