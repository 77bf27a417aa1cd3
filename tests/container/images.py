"""Docker as the tests use it: the real Dockerfile, on base images that may be local."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCHER_IMAGE = "gcr.io/dataflow-templates-base/python311-template-launcher-base"
IMAGE = "ensemble:test"
BOOT = "/opt/apache/beam/boot"
LAUNCHER = "/opt/google/dataflow/python_template_launcher"


def docker(*args: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs a docker command; stdout and stderr are kept apart."""
    return subprocess.run(
        ["docker", *map(str, args)], capture_output=True, text=True, timeout=timeout
    )


def build(*args: object, tag: str = IMAGE, target: str = "cpu") -> subprocess.CompletedProcess[str]:
    """Builds a target of the real Dockerfile; pip finds its index as it does on this machine."""
    return docker(
        *("build", "--network=host", f"--target={target}", f"--tag={tag}"),
        *(f"--build-arg=LAUNCHER_TAG={launcher_tag()}", *args, ROOT),
        timeout=3000,
    )


def launcher_tag() -> str:
    """The launcher that the Dockerfile names, or one of another tag where only that is here."""
    named = default_args()["LAUNCHER_TAG"]
    here = docker("images", "--format={{.Tag}}", LAUNCHER_IMAGE).stdout.split()
    return named if named in here or not here else here[0]


def default_args() -> dict[str, str]:
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))


def missing_base_images() -> list[str]:
    """Base images that are neither here nor can be pulled."""
    args = default_args()
    names = [
        f"python:{args['PYTHON_VERSION']}-slim-{args['DEBIAN_RELEASE']}",
        f"apache/beam_python{args['PYTHON_VERSION']}_sdk:{args['BEAM_VERSION']}",
        f"{LAUNCHER_IMAGE}:{launcher_tag()}",
    ]
    return [
        name
        for name in names
        if docker("image", "inspect", name).returncode and docker("pull", name).returncode
    ]
