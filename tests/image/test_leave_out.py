"""What an image leaves out with the frameworks that an ensemble does not need."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.backends.failures import needs_package
from pipeline.errors import LoadError

ROOT = Path(__file__).parents[2]
PINNED = [
    line
    for line in (ROOT / "requirements-common.in").read_text().splitlines()
    if line and not line.startswith("#")
]


def load():
    spec = importlib.util.spec_from_file_location("leave_out", ROOT / ".ci/image/leave_out.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


leave_out = load()
ALL = tuple(leave_out.FRAMEWORKS)


def test_nothing_is_left_out_where_all_are_kept():
    assert leave_out.left_out(ALL, PINNED) == set()


@pytest.mark.parametrize("gone", ALL)
def test_framework_goes_with_what_only_it_needs_and_pip_check_holds(gone):
    kept = [name for name in ALL if name != gone]
    out = leave_out.left_out(kept, PINNED)
    assert out & set(leave_out.FRAMEWORKS[gone])
    stays = leave_out.needed(
        [*PINNED, *(root for name in kept for root in leave_out.FRAMEWORKS[name])]
    )
    assert not out & stays
    for name in stays:
        for requirement in map(Requirement, requires(name) or ()):
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                assert requirement.name.lower() not in out, f"{name} needs {requirement.name}"


def test_framework_that_does_not_exist_is_refused(capsys):
    assert leave_out.main(["onnx pytorch"]) == 2
    assert "found ['pytorch'], expected some of: tensorflow torch" in capsys.readouterr().err


# Blocks the modules that the names on the command line bring, and imports what a job does.
WITHOUT = """
import sys
class Left:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LEFT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
LEFT = set(sys.argv[1:])
sys.meta_path.insert(0, Left())
import main, pipeline.drafting, pipeline.commands.command_line
"""


def test_package_is_imported_without_any_framework():
    out = leave_out.needed(r for roots in leave_out.FRAMEWORKS.values() for r in roots)
    out -= leave_out.needed([*PINNED, "pip", "setuptools", "wheel", "packaging"])
    modules = set()
    for name in out:
        top = distribution(name).read_text("top_level.txt")
        files = distribution(name).files or ()
        modules |= set(top.split()) if top else {f.parts[0] for f in files if f.suffix == ".py"}
    assert {"tensorflow", "torch", "sklearn"} <= modules
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_extras_of_the_package_have_the_versions_of_the_requirements():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    pinned = re.findall(
        r"^\w\S+==\S+$", (ROOT / "requirements-frameworks.in").read_text(), re.MULTILINE
    )
    assert sorted([*extras["tensorflow"], *extras["sklearn"]]) == sorted(pinned)


@pytest.mark.parametrize(
    ("kept", "missing", "argument"),
    [
        ("sklearn onnx", "tensorflow", 'FRAMEWORKS="sklearn onnx tensorflow"'),
        ("sklearn onnx", "torch", 'FRAMEWORKS="sklearn onnx torch"'),
        ("torch", "skops", 'FRAMEWORKS="torch sklearn"'),
        ("", "onnxruntime", 'FRAMEWORKS="onnx"'),
    ],
)
def test_image_names_the_build_argument_that_adds_a_framework(kept, missing, argument, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_FRAMEWORKS", kept)
    with pytest.raises(LoadError) as caught, needs_package(missing):
        raise ImportError(f"No module named '{missing}'")
    assert str(caught.value).endswith(f"(into an image: docker build --build-arg {argument})")


@pytest.mark.parametrize(("kept", "missing"), [(" ".join(ALL), "torch"), ("onnx", "torchvision")])
def test_package_that_was_not_left_out_needs_no_other_build(kept, missing, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_FRAMEWORKS", kept)
    with pytest.raises(LoadError, match=f"pip install {missing}$"), needs_package(missing):
        raise ImportError(f"No module named '{missing}'")


def test_every_package_that_can_be_left_out_names_its_argument_and_every_extra_exists(monkeypatch):
    source = "".join(path.read_text() for path in (ROOT / "pipeline/backends").rglob("*.py"))
    calls = re.findall(r'with needs_package\("([\w-]+)"(?:, extra="(\w+)")?\)', source)
    assert len(calls) == source.count("with needs_package(")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {extra for _, extra in calls} - {""} <= extras.keys()
    can_go = leave_out.left_out((), PINNED) - {"triton"}  # which PyTorch's CPU build does not bring
    packages = {name for name, _ in calls if name.replace("_", "-") in can_go}
    assert {"keras", "skops", "torch"} <= packages
    monkeypatch.setenv("ENSEMBLE_FRAMEWORKS", "")
    for package in packages:
        with pytest.raises(LoadError, match='FRAMEWORKS="'), needs_package(package):
            raise ImportError


def test_dockerfile_keeps_all_by_default():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f'ARG FRAMEWORKS="{" ".join(ALL)}"' in dockerfile
