"""An environment of its own for Ray and Spark: they are no dependencies of this project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.support.repository import ROOT

_ENVIRONMENT = ROOT / "build" / "benchmarks" / "peers"
_REQUIREMENTS = (Path(__file__).with_name("requirements.txt"), ROOT / "requirements.txt")
_JAVA = 17

PYTHON = _ENVIRONMENT / "bin" / "python"


class MissingError(Exception):
    """The peers cannot run here; the message says what is missing."""


def prepare(java: bool) -> None:
    """Makes the environment, if it is not there or stands on other requirements.

    Args:
      java: whether it will be needed.

    Raises:
      MissingError: there is no Java, or pip fails.
    """
    if java:
        _check_java()
    wanted = "".join(path.read_text() for path in _REQUIREMENTS)
    ready = _ENVIRONMENT / "ready"
    if ready.exists() and ready.read_text() == wanted:
        return
    print(f"installing {_REQUIREMENTS[0].name} into {_ENVIRONMENT}: about 2 minutes", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", _ENVIRONMENT], check=True)
        # Without hashes, which would have to name all that Ray and Spark need.
        pins = re.findall(r"^[\w.-]+==\S+", _REQUIREMENTS[1].read_text(), flags=re.MULTILINE)
        constraints = _ENVIRONMENT / "constraints.txt"
        constraints.write_text("\n".join(pins))
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "-c", str(constraints)]
        subprocess.run([*pip, "-r", str(_REQUIREMENTS[0])], check=True)
    except subprocess.CalledProcessError as error:
        raise MissingError(f"the peers' environment cannot be made: {error}") from error
    ready.write_text(wanted)


def _check_java() -> None:
    need = f"Spark needs Java {_JAVA} or later (apt-get install openjdk-{_JAVA}-jre-headless)"
    java = shutil.which("java")
    if java is None:
        raise MissingError(f"there is no `java`: {need}; --contenders leaves contenders out")
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _JAVA:
        raise MissingError(f"found {said.splitlines()[0] if said else 'nothing'}: {need}")
