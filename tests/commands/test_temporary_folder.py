"""A machine on which no folder for temporary files can be written."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Beam, too, looks for the folder when it is imported: main.py must have looked before.
WITHOUT = """
import runpy, sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/nowhere"]
sys.argv = ["main.py", "--ensemble_spec=e.yaml"]
runpy.run_path("main.py", run_name="__main__")
"""


def test_job_is_refused_in_one_line_that_says_what_the_container_needs():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Not started.\n  There is no folder for temporary files")
    assert "--tmpfs /tmp" in done.stderr
    assert len(done.stderr.splitlines()) == 2
