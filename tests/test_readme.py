"""README.md and docs/ tell the truth: tables are current and the README's commands run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
NOT_RUN_HERE = {"make test\n"}  # runs this very test


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git tracks, with this environment as its .venv."""
    folder = tmp_path_factory.mktemp("checkout")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in tracked.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # bin/ by itself, since the interpreter may not be in a folder called .venv here.
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (Path(sys.prefix) / "ready").touch()
    return folder


def test_reference_tables_are_current():
    done = subprocess.run([sys.executable, ".ci/reference.py", "--check"], cwd=ROOT)
    assert done.returncode == 0, "run `make reference`"


def test_commands_of_the_readme_run_in_their_order(checkout):
    ran = []
    for command in COMMANDS:
        if command in NOT_RUN_HERE:
            continue
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=checkout,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHON": sys.executable},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        ran.append(done.stdout)
    demo = ran[0]
    for shown in ("ensemble", "500 predictions", "9 dead letters", "wrong_shape", "digit-"):
        assert shown in demo


def test_every_key_and_parameter_is_documented():
    from pipeline.core import model_spec, record_spec, spec
    from pipeline.parameters import PARAMETERS

    documented = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for parameter in PARAMETERS:
        assert f"`--{parameter.name}`" in documented
    for model in (
        spec.EnsembleSpec,
        record_spec.RecordSpec,
        record_spec.FieldSpec,
        model_spec._ModelBase,
    ):
        assert all(f"`{key}`" in documented for key in model.model_fields)
