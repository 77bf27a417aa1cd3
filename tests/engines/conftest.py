"""Prism, Beam's runner for tests: built once, kept between runs."""

import os
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / ".ci" / "prism"


@pytest.fixture(scope="session")
def prism():
    """The options of a job that runs there; fails where Prism can neither be found nor built."""
    # The tests have a cache of their own, which ends with them.
    environment = {name: text for name, text in os.environ.items() if name != "XDG_CACHE_HOME"}
    built = subprocess.run(
        [_SCRIPT], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    if built.returncode:
        pytest.fail(f"Prism is needed (.ci/prism):\n{built.stderr[-2000:]}", pytrace=False)
    return ["--runner=PrismRunner", f"--prism_location={built.stdout.strip()}"]
