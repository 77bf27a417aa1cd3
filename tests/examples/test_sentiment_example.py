"""The sentiment example as a user runs it: a batch, and two models refreshed together."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import main

SENTIMENT = Path(__file__).parents[2] / "examples" / "sentiment"


def run_script(name, folder):
    command = [sys.executable, str(SENTIMENT / name), "--output_dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder, and how often each pair of embedder and classifier is right."""
    folder = tmp_path_factory.mktemp("sentiment")
    said = run_script("make.py", folder)
    pairs = re.findall(r"embedder (\d) with classifier (\d): (\d+)% right", said)
    return folder, {(embedder, classifier): int(right) for embedder, classifier, right in pairs}


def test_models_of_two_generations_do_not_fit_together(made):
    right = made[1]
    assert right["2", "2"] > 90
    assert 60 < right["1", "1"] < right["2", "2"]
    assert max(right["1", "2"], right["2", "1"]) < right["1", "1"]


def test_reviews_become_sentiments(made):
    folder, right = made
    arguments = [
        f"--ensemble_spec={folder}/ensemble.yaml",
        f"--input_file_pattern={folder}/reviews.jsonl",
        f"--output_path={folder}/out/p",
    ]
    assert main.main(arguments) == 0
    lines = [
        json.loads(line) for f in folder.glob("out/p-0*") for line in f.read_text().splitlines()
    ]
    assert len(lines) == 600
    hits = [
        (line["predictions"]["sentiment"] == "positive") == (line["pass_through"]["stars"] > 3)
        for line in lines
    ]
    assert sum(hits) / 6 == pytest.approx(right["1", "1"], abs=1)


def test_both_models_change_together_under_the_stream_and_nothing_is_lost(made):
    folder, right = made
    said = run_script("stream.py", folder)
    served = re.findall(r"embedder (\d), classifier (\d): ([\d,]+) reviews, (\d+)% right", said)
    assert [pair[:2] for pair in served] == [("1", "1"), ("2", "2")]
    for embedder, classifier, _, accuracy in served:
        assert int(accuracy) == pytest.approx(right[embedder, classifier], abs=8)
    assert re.search(r"reviews sent, 0 lost", said)
