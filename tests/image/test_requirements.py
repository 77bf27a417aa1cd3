"""The files that pin what the images hold."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDS = {"torch", "onnxruntime", "onnxruntime-gpu"}


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


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
    return {name.lower().replace("_", "-"): version for name, version in pinned.items()}


@pytest.mark.parametrize("kind", ["requirements", "requirements-gpu"])
def test_lock_holds_the_direct_requirements(kind):
    locked, asked = normal(pins(f"{kind}.txt")), normal(direct(f"{kind}.in"))
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
