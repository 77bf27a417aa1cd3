"""Swap, streaming and merging run, and lose and mislabel nothing. No time is asserted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stream.run import Step, backlog_of
from benchmarks.swap.contenders import Answer
from benchmarks.swap.run import Finished, WrongError, observe, swap

ROOT = Path(__file__).parents[2]


def run(name, *options, **environment):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *options]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


def rows(text):
    """The cells of the table's rows, without its header."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


OURS, SHARED, STOCK = "this project", "this project, `model_sharing: vm`", "stock RunInference"


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("storage", [OURS, STOCK]),
        pytest.param("forest", [OURS, SHARED, STOCK], marks=pytest.mark.long),
        pytest.param("savedmodel", [OURS, SHARED, STOCK], marks=pytest.mark.long),
    ],
)
def test_swap_shows_its_contenders_and_leaves_the_document(load, expected):
    document = ROOT / "docs" / "benchmarks.md"
    before = document.read_text()
    done = run("swap", "--loads", load)
    assert done.returncode == 0, done.stdout + done.stderr
    contenders = [row[1] for row in rows(done.stdout)]
    assert contenders == expected
    assert done.stdout.count("all accounted for") == len(contenders)
    assert document.read_text() == before


class Scripted:
    """A contender whose version 2 answers as told."""

    def __init__(self, first, then):
        self._answer, self._then = first, then

    def worker(self):
        return lambda: self._answer

    def announce(self):
        self._answer = self._then

    def load_secs(self):
        return 0.0

    def close(self):
        pass


ONE, TWO, OTHER = np.zeros(10), np.ones(10), np.full(10, 7.0)


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ((TWO, 64, 1), "computed by version 2, labelled 1"),
        ((TWO, 63, 2), "64 rows came out with 63"),
        ((OTHER, 64, 2), "neither version"),
    ],
)
def test_swap_refuses_what_is_mislabelled_lost_or_wrong(then, message):
    contender = Scripted(Answer(ONE, 64, 1), Answer(*then))
    with pytest.raises(WrongError, match=message):
        swap(contender, [ONE, TWO], steady_secs=0.01)


def test_gaps_are_split_where_they_end():
    # Announced at 2; a thread waits until 5, the other until 6.
    finished = [
        Finished([1, 5, 7], [1, 2, 2]),
        Finished([1.5, 6, 7.5], [1, 2, 2]),
    ]
    seen = observe(finished, started=0, announced=2, load_secs=3)
    assert (seen.swap_secs, seen.longest) == (4, 3.5)
    assert seen.longest_by_thread == (4, 4.5)
    assert seen.steady == (0.5, 1, 0.5)
    assert seen.batches == 6


@pytest.mark.long
def test_small_bundles_run_put_together_and_not_and_leave_the_document():
    document = ROOT / "docs" / "benchmarks.md"
    before = document.read_text()
    done = run("stream.bundles")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["1"]
    assert document.read_text() == before


def test_every_record_published_comes_back_once():
    done = run("stream")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(
        r"([\d,]+) records published, ([\d,]+) predicted, ([\d,]+) of them more than once, "
        r"([\d,]+) dead letters",
        done.stdout,
    ).groups()
    published, predicted, _, dead_letters = counts
    assert published == predicted != "0"
    assert dead_letters == "0"
    assert [row[0] for row in rows(done.stdout)] == ["200"]


@pytest.mark.long
def test_merging_gives_every_caller_its_own_rows():
    done = run("calls.merging")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["1", "2", "4", "8", "12"]


def test_without_an_emulator_it_says_how_to_get_one(tmp_path):
    done = run("stream", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "gcloud components install" in done.stderr


@pytest.mark.parametrize(
    ("backlog_at_first", "predicted_per_sec", "sustained"),
    [(50, 1000, True), (50, 985, True), (50, 970, False), (1500, 1000, False)],
)
def test_rate_is_sustained_while_the_backlog_is_small_and_does_not_grow(
    backlog_at_first, predicted_per_sec, sustained
):
    samples = [(t, 1000 * t, predicted_per_sec * t - backlog_at_first) for t in range(15)]
    backlog, growth = backlog_of(samples)
    assert growth == pytest.approx(1000 - predicted_per_sec)
    step = Step(1000, 1000, predicted_per_sec, backlog, growth, 0, 0, 0, 0, 0)
    assert step.is_sustained is sustained
