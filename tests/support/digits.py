"""The trained models of the digits example, made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

_EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def trained_digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that ``train.py`` filled, and what it printed. The first who asks trains."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of the run; each of its processes has a folder in it
    folder, printed = root / "trained-digits", root / "trained-digits.txt"
    with (root / "trained-digits.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            command = [sys.executable, str(_EXAMPLE / "train.py"), f"--output_dir={folder}"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            printed.write_text(done.stdout)
    return folder, printed.read_text()
