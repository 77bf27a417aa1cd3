"""The benchmark of texts runs; it compares the results itself. No time is asserted."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.texts import __main__ as texts
from benchmarks.texts import workload
from benchmarks.texts.__main__ import Round, Subject
from benchmarks.texts.contenders import Contender, Took

ROOT = Path(__file__).parents[2]


class Fixed(Contender):
    def __init__(self, *values):
        self.found = np.array(values)

    def computed(self):
        return self.found


def subject(ours, theirs):
    return Subject("a", "another", 2, lambda folder, rows, threads: (ours, theirs))


def test_results_that_differ_are_no_figure():
    with pytest.raises(texts.WrongError, match="this project and another give other results"):
        texts.measure(subject(Fixed(1.0, 2.0), Fixed(1.0, 2.1)), rounds=1, threads=1)
    assert len(texts.measure(subject(Fixed(1.0), Fixed(1.0)), rounds=3, threads=1)) == 3


def test_document_gets_the_ratios_of_the_rounds(document):
    rounds = [Round(Took(1.0, 1.0), Took(secs, 2.0)) for secs in (1.0, 3.0, 2.0)]
    found = dict.fromkeys(texts.subjects(quick=False), rounds)
    table = texts.sections.table(texts.HEADER, [texts.row(*each) for each in found.items()])
    texts.publish(document, found, table, "a machine")
    written = document.read_text()
    assert "| classifier, BERT base | pipeline, batch_size 32 |" in written
    assert "|  2.00 |      1.00 - 3.00 |      2.00 |" in written
    assert "classifier, tiny 2.00 x, classifier, BERT base 2.00 x" in written


def test_lengths_of_texts_are_between_5_and_400_tokens():
    tokens = [len(text.split()) + 2 for text in workload.texts(2000)]
    assert (min(tokens), max(tokens)) == (5, 400)
    assert 35 < np.median(tokens) < 50


@pytest.mark.long
def test_it_runs_and_leaves_the_document():
    document = ROOT / "docs" / "benchmarks.md"
    before = document.read_text()
    command = [sys.executable, "-m", "benchmarks.texts", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    assert rows[2:] == ["classifier, tiny", "T5 small, 20 tokens"]
    assert document.read_text() == before
