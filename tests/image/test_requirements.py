"""The files that pin what the images hold."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDS = {"torch", "onnxruntime", "onnxruntime-gpu"}


BY_HAND = "requirements-torch.txt"  # it says why
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.txt"))


def pins(*names):
    """Name -> version."""
    text = "".join((ROOT / name).read_text() for name in names)
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))


def direct(name):
    """The direct requirements of an .in file and of those that it includes."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= direct(line[3:])
        elif line and not line.startswith("#"):
            package, version = line.split("==")
            found[package.partition("[")[0]] = version
    return found


def normal(pinned):
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_one_version_with_hashes(lock):
    text = (ROOT / lock).read_text()
    whole = [line for line in text.replace("\\\n", "").splitlines() if line[:1] != "#"]
    assert len(whole) == len(pins(lock)) > 0
    pinned = r"[\w.-]+==\S+"
    hashes = r"( +--hash=sha256:[0-9a-f]{64})+"
    assert [line for line in whole if not re.fullmatch(pinned + hashes, line)] == []


@pytest.mark.parametrize("file", ["Dockerfile", "Makefile", "cloudbuild.yaml"])
def test_pip_checks_hashes_wherever_it_installs_a_lock(file):
    lines = re.findall(
        r"pip install[^&\n]* -r requirements[^&\n]*", (ROOT / file).read_text().replace("\\\n", "")
    )
    assert lines
    assert [line for line in lines if "--require-hashes" not in line] == []


@pytest.mark.parametrize(
    "locks",
    [("requirements.txt", BY_HAND), ("requirements-gpu.txt",), ("requirements-audit.txt",)],
    ids=" ".join,
)
def test_lock_holds_the_direct_requirements(locks):
    locked = normal(pins(*locks))
    asked = normal(direct(locks[0].replace(".txt", ".in")))
    assert {name: locked.get(name) for name in asked} == asked


def test_both_images_hold_the_same_versions_of_everything_but_the_frameworks_builds():
    cpu, gpu = pins("requirements.txt"), pins("requirements-gpu.txt")
    assert {n: v for n, v in cpu.items() if n not in BUILDS} == {
        n: v for n, v in gpu.items() if n in cpu and n not in BUILDS
    }


def test_gpu_image_holds_one_family_of_cuda():
    nvidia = [name for name in pins("requirements-gpu.txt") if name.startswith("nvidia-")]
    assert nvidia
    assert all(name.endswith("-cu12") for name in nvidia)


def test_package_asks_for_no_build_of_a_framework_so_that_it_fits_both_images():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = direct(project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"])
    assert not BUILDS & set(asked)
    assert "apache-beam" in asked
