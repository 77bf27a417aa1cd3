"""Fixtures that build the image once and run it. They need Docker."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.container.images import BOOT, IMAGE, LAUNCHER, ROOT, build, docker, missing_base_images

collect_ignore = [] if os.environ.get("ENSEMBLE_TEST_GPU_IMAGE") else ["test_gpu_image.py"]


@pytest.fixture(scope="session")
def base_images():
    """Says what is needed where the image cannot be built, in place of docker's own words."""
    if shutil.which("docker") is None or docker("info").returncode:
        pytest.fail(
            "these tests need Docker: a `docker` command and a running daemon", pytrace=False
        )
    if missing := missing_base_images():
        pytest.fail(
            f"these base images are not here and cannot be pulled: {', '.join(missing)}. Make the "
            "registry reachable, or load images of these names (docker load, docker import).",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def image(base_images):
    """The name of the CPU image, built from the tree as it is; a matter of seconds when cached."""
    built = build()
    assert built.returncode == 0, (built.stdout + built.stderr)[-5000:]
    return IMAGE


@pytest.fixture
def shell(image):
    """Runs a shell command in the image; its stdout."""

    def shell(command, of=image):
        done = docker("run", "--rm", "--network=none", "--entrypoint=sh", of, "-c", command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return shell


@pytest.fixture
def installed(shell):
    """Name -> version of the packages in the image, names in lower case with dashes."""
    listed = json.loads(shell("pip list --format=json --disable-pip-version-check"))
    return {re.sub(r"[-_.]+", "-", p["name"]).lower(): p["version"] for p in listed}


@pytest.fixture
def stubs(tmp_path):
    """Options that put scripts in the place of boot and launcher, which need a cloud around them.

    The second runs main.py as the launcher does.
    """
    scripts = {
        BOOT: 'echo "boot: $*"',
        LAUNCHER: 'exec python "$FLEX_TEMPLATE_PYTHON_PY_FILE" "$@"',
    }
    options = []
    for path, script in scripts.items():
        file = tmp_path / path.rpartition("/")[2]
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        options.append(f"--volume={file}:{path}:ro")
    return options


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with the models, records and ensemble file of the digits example."""
    folder = tmp_path_factory.mktemp("digits")
    for script in ("train.py", "make_records.py"):
        command = [sys.executable, ROOT / "examples/digits" / script, "--output_dir", folder]
        subprocess.run(command, check=True, capture_output=True)
    return folder
