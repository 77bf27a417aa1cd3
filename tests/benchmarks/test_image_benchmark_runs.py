"""The benchmark of the image, with a `docker` that only says that it was called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
  build*) exit "${BUILD_STATUS:-0}" ;;
  *"image inspect"*) echo 1234000000 ;;
  *"pip freeze"*) printf 'numpy==2\\ntorch==2.13.0+cpu\\n' ;;
  *main.py*)
    echo 'running'
    for option in "$@"; do
      case $option in --volume=*) folder=${option#--volume=} folder=${folder%:/data} ;; esac
    done
    mkdir -p "$folder/out"
    printf "$WRITTEN" >"$folder/out/predictions-0.jsonl"
    ;;
esac
"""


@pytest.fixture
def bench(tmp_path, document):
    """Runs the benchmark; what it said, and the calls of docker."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)

    def bench(*options, **env):
        calls = tmp_path / "calls"
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls), **env}
        command = [sys.executable, "-m", "benchmarks.image", f"--docs={document}", *options]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **env}
        )
        return done, calls.read_text().splitlines()

    return bench


WRITTEN = '{"proba": [1]}\n'


def test_document_gets_a_row_for_each_image(bench, document):
    done, calls = bench("--rounds=1", WRITTEN=WRITTEN)
    assert done.returncode == 0, done.stderr
    built = [call for call in calls if call.startswith("build")]
    assert len(built) == 4
    assert all("--no-cache" in call for call in built)
    _, _, section = document.read_text().partition("<!-- image: figures -->")
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")][2:6]
    assert rows[2][1].strip() == "`sklearn onnx`"
    assert {tuple(cell.strip() for cell in row[2:4]) for row in rows} == {("2.13.0+cpu", "1.23")}


@pytest.mark.parametrize("env", [{"BUILD_STATUS": "1"}, {"WRITTEN": ""}])
def test_image_that_does_not_predict_is_no_figure(bench, document, env):
    before = document.read_text()
    done, _ = bench("--cached", "--rounds=1", **{"WRITTEN": WRITTEN, **env})
    assert done.returncode == 1
    assert document.read_text() == before
