"""A machine on which no folder for temporary files can be written."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Beam, too, looks for the folder when it is imported: what is started must have looked before.
WITHOUT = """
import runpy, sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/nowhere"]
sys.argv = ["", "check", "e.yaml"]
runpy.{run}
"""


@pytest.mark.parametrize(
    "run",
    [
        'run_path("main.py", run_name="__main__")',
        'run_module("pipeline", run_name="__main__")',
    ],
)
def test_start_is_refused_in_one_line_that_says_what_the_container_needs(run):
    script = WITHOUT.format(run=run)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Not started.\n  There is no folder for temporary files")
    assert "--tmpfs /tmp" in done.stderr
    assert len(done.stderr.splitlines()) == 2
