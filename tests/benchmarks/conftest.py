import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

collect_ignore = [] if os.environ.get("ENSEMBLE_TEST_PEERS") else ["batch/test_peers_run.py"]


@pytest.fixture(scope="session")
def workload_folder(tmp_path_factory):
    """Where records and models of the batch benchmarks are made."""
    return tmp_path_factory.mktemp("workload")


@pytest.fixture
def document(tmp_path):
    """A copy of docs/benchmarks.md: pictures are drawn beside it."""
    path = tmp_path / "docs" / "benchmarks.md"
    path.parent.mkdir()
    shutil.copy(ROOT / "docs" / "benchmarks.md", path)
    return path
