"""What the image holds, and what it leaves out."""

import re
import subprocess

import pytest

from tests.container.images import IMAGE, ROOT, build, default_args, docker

pytestmark = pytest.mark.timeout(3600)  # the first test builds the image


def test_packages_are_those_of_the_requirements_and_the_project(shell, installed):
    assert shell("pip check").strip() == "No broken requirements found."
    text = "".join((ROOT / f"requirements{of}.txt").read_text() for of in ("", "-torch"))
    found = re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}
    others = {"pip", "wheel"}  # of the base image
    if not installed["torch"].endswith("+cpu"):  # PyPI's build, which brings CUDA's libraries
        others |= {n for n in installed if re.fullmatch(r"triton|(nvidia|cuda)-.*", n)}
    assert {name: v.split("+")[0] for name, v in installed.items() if name not in others} == {
        **{name: version for name, version in pins.items() if name not in others},
        "dataflow-ensemble": "0.1.0",
    }


def test_package_is_installed_and_not_a_loose_folder_beside_main(shell):
    found = shell("cd /template && python -c 'import pipeline; print(pipeline.__file__)'").strip()
    assert found.startswith("/usr/local/lib/python3.11/")
    assert found.endswith("-packages/pipeline/__init__.py")
    assert shell("ls /template").split() == [
        "check_image.py",
        "entrypoint",
        "install_extras",
        "leave_out.py",
        "main.py",
        "requirements-common.in",
        "requirements-torch.txt",
        "requirements.txt",
    ]


def test_everything_that_the_tree_has_of_the_package_is_in_the_image(shell):
    tree = {str(p.relative_to(ROOT)) for p in (ROOT / "pipeline").rglob("*.py")}
    image = shell(
        'cd "$(python -c "import sysconfig as s; print(s.get_path(\'purelib\'))")" && '
        "find pipeline -name '*.py'"
    )
    assert set(image.split()) == tree


def test_locale_that_text_models_ask_for_knows_small_and_capital_letters(shell):
    program = (
        "import ctypes, locale; "
        "locale.setlocale(locale.LC_CTYPE, 'en_US.UTF-8'); "
        "print(chr(ctypes.CDLL(None).towlower(0xC9)) == chr(0xE9))"
    )
    assert shell(f'python -c "{program}"').strip() == "True"


def test_start_compiles_no_module(shell):
    # Python says of each module whether its code came from a .py or from a .pyc file.
    loaded = shell("python -B -v -c 'import pipeline.jobs.run' 2>&1 | grep 'code object from'")
    assert "/pipeline/jobs/__pycache__/run.cpython-311.pyc" in loaded
    assert [line for line in loaded.splitlines() if line.endswith(".py'")] == []


def test_build_leaves_nothing_behind(shell, image):
    args = default_args()
    base = f"python:{args['PYTHON_VERSION']}-slim-{args['DEBIAN_RELEASE']}"
    files = "find / -xdev -type f -not -path '/proc/*' -not -path '/sys/*'"
    added = set(shell(files).splitlines()) - set(shell(files, of=base).splitlines())
    homes = ("/usr/local/", "/opt/apache/beam/", "/opt/google/dataflow/", "/template/")
    assert [path for path in added if not path.startswith(homes)] == []
    assert [path for path in added if path.endswith((".whl", ".deb"))] == []


def test_labels_and_own_name_come_from_the_build(image):
    tag = f"{IMAGE}-labels"
    args = {"IMAGE": "registry/ensemble:v1", "REVISION": "abc123", "VERSION": "v1"}
    built = build(*(f"--build-arg={name}={value}" for name, value in args.items()), tag=tag)
    assert built.returncode == 0, built.stderr
    prefix = "org.opencontainers.image"
    shown = docker(
        *("image", "inspect", tag, "--format"),
        f'{{{{index .Config.Labels "{prefix}.revision"}}}} '
        f'{{{{index .Config.Labels "{prefix}.version"}}}} {{{{.Config.Env}}}}',
    ).stdout
    docker("rmi", tag)
    assert shown.startswith("abc123 v1 ")
    assert "ENSEMBLE_IMAGE=registry/ensemble:v1" in shown
    assert "ENSEMBLE_IMAGE_TARGET=cpu" in shown


def test_image_whose_boot_is_of_another_beam_is_not_built(image):
    args = default_args()
    name = f"apache/beam_python{args['PYTHON_VERSION']}_sdk"
    docker("tag", f"{name}:{args['BEAM_VERSION']}", f"{name}:2.1.0")
    built = build("--build-arg=BEAM_VERSION=2.1.0", tag=f"{IMAGE}-other")
    docker("rmi", f"{name}:2.1.0")
    assert built.returncode != 0
    assert "Apache Beam 2.77.0 is installed, but boot is the one of 2.1.0" in (
        built.stdout + built.stderr
    )


def test_frameworks_are_left_out_on_request_and_a_model_of_one_is_refused(shell, digits):
    tag = f"{IMAGE}-small"
    built = build("--build-arg=FRAMEWORKS=sklearn onnx", tag=tag)
    assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    found = shell("pip list --format=freeze", of=tag)
    python = ["run", "--rm", "--network=none", f"--volume={digits}:/d:ro", "--entrypoint=python"]
    refused = docker(*python, tag, "-m", "pipeline", "check", "/d/ensemble.yaml")
    docker("rmi", tag)
    names = {line.partition("==")[0] for line in found.splitlines()}
    assert not {"tensorflow", "keras", "torch", "triton"} & names
    assert {"scikit-learn", "skops", "onnxruntime", "apache-beam"} <= names
    assert refused.returncode == 2
    *_, convnet, dense = refused.stderr.splitlines()  # the forest and the mlp have what they need
    assert convnet.lstrip().startswith("model 'convnet': the package 'torch' is needed")
    assert '--build-arg FRAMEWORKS="sklearn onnx torch"' in convnet
    assert dense.lstrip().startswith("model 'dense': the package 'tensorflow' is needed")
    assert '--build-arg FRAMEWORKS="sklearn onnx tensorflow"' in dense


def test_extras_are_installed_where_they_are_asked_for(image):
    tag = f"{IMAGE}-extras"
    built = build("--build-arg=EXTRAS=lightgbm xgboost", tag=tag)
    assert built.returncode == 0, (built.stdout + built.stderr)[-3000:]
    imports = "import lightgbm, xgboost"
    found = docker("run", "--rm", "--network=none", "--entrypoint=python", tag, "-c", imports)
    without = docker("run", "--rm", "--network=none", "--entrypoint=python", image, "-c", imports)
    docker("rmi", tag)
    assert found.returncode == 0, found.stderr
    assert "No module named 'lightgbm'" in without.stderr


def test_unknown_extra_stops_the_build_and_is_named(image):
    built = build("--build-arg=EXTRAS=xgbost", tag=f"{IMAGE}-misspelt")
    assert built.returncode != 0
    (said,) = re.findall(
        r"EXTRAS: found 'xgbost', expected some of: (.*)", built.stdout + built.stderr
    )
    assert {"xgboost", "lightgbm", "catboost", "transformers"} <= {*said.split()}


def test_context_leaves_out_what_no_instruction_copies(tmp_path):
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[[line.startswith("#") for line in kept].index(False)] == "*"
    named = {line[1:] for line in kept if line.startswith("!")}
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *named],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {path.split("/")[0] for path in tracked} == {path.split("/")[0] for path in named}
