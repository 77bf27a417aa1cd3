"""Ray and Spark do the same work. Collected with ENSEMBLE_TEST_PEERS=1: 2 GB, needs Java."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KINDS = ("ray", "spark-pandas", "spark-arrow")
PEERS = [f"{kind}-{form}" for kind in KINDS for form in ("jsonl", "parquet")]

pytestmark = pytest.mark.timeout(1800)


def test_peers_predict_what_the_bare_loop_predicts(tmp_path):
    options = ["--quick", f"--folder={tmp_path}", "--contenders", *PEERS]
    command = [sys.executable, "-m", "benchmarks.batch", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All contenders gave the same answers." in done.stdout
    assert len(re.findall(r"^\| (?:Ray|Spark)", done.stdout, flags=re.MULTILINE)) == len(PEERS)


def test_without_java_it_says_how_to_get_it(tmp_path):
    options = ["--quick", f"--folder={tmp_path}", "--contenders", "spark-arrow-jsonl"]
    environment = {"PATH": str(tmp_path)}
    command = [sys.executable, "-m", "benchmarks.batch", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "apt-get install openjdk-17-jre-headless" in done.stderr
