"""An environment of its own for sentence-transformers: it is no dependency of this project.

It sees the packages of this project's, so that both compute with the same PyTorch and transformers.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.support.repository import ROOT

_ENVIRONMENT = ROOT / "build" / "benchmarks" / "sentence-transformers"
_PACKAGE = "sentence-transformers==5.7.0"
PYTHON = _ENVIRONMENT / "bin" / "python"


class MissingError(Exception):
    """The environment cannot be made; the message says why."""


def prepare() -> None:
    """Makes the environment, if it is not there.

    Raises:
      MissingError: pip fails.
    """
    ready = _ENVIRONMENT / "ready"
    wanted = f"{_PACKAGE} {sysconfig.get_path('purelib')}"
    if ready.exists() and ready.read_text() == wanted:
        return
    print(f"installing {_PACKAGE} into {_ENVIRONMENT}", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", _ENVIRONMENT], check=True)
        asked = [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        own = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        Path(own, "project.pth").write_text(sysconfig.get_path("purelib"))
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-deps", _PACKAGE]
        subprocess.run(pip, check=True)
    except subprocess.CalledProcessError as error:
        raise MissingError(f"{_ENVIRONMENT} cannot be made: {error}") from error
    ready.write_text(wanted)
