"""The tabular example as a user runs it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import main

TABULAR = Path(__file__).parents[2] / "examples" / "tabular"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder, predictions and dead letters by id."""
    folder = tmp_path_factory.mktemp("tabular")
    script = [sys.executable, str(TABULAR / "make.py"), "--output_dir", str(folder)]
    made = subprocess.run(script, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "1000 loans and 3 broken rows" in made.stdout
    arguments = [
        f"--ensemble_spec={folder}/ensemble.yaml",
        f"--input_file_pattern={folder}/loans.csv",
        f"--output_path={folder}/out/p",
    ]
    assert main.main(arguments) == 0
    return folder, lines(folder, "p-0*"), lines(folder, "p-dead-letters-*")


def lines(folder, pattern):
    found = [
        json.loads(line)
        for file in (folder / "out").glob(pattern)
        for line in file.read_text().splitlines()
    ]
    return {line["id"] or line["payload"].partition(",")[0]: line for line in found}


def test_every_loan_is_scored_and_the_stack_knows_at_least_what_the_trees_know(ran):
    folder, predictions, _ = ran
    with (folder / "loans.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["id"].startswith("loan-")]
    assert predictions.keys() == {row["id"] for row in rows}
    scored = [predictions[row["id"]]["predictions"] for row in rows]
    truth = np.array([row["defaulted"] == "true" for row in rows])
    areas = {
        name: roc_auc_score(truth, [prediction[name] for prediction in scored])
        for name in ("rounded", "trees_risk")
    }
    assert areas["rounded"] > 0.75
    assert areas["rounded"] > areas["trees_risk"] - 0.01
    for prediction in scored:
        assert prediction["refuse"] == (prediction["rounded"] >= 0.5) or (
            abs(prediction["rounded"] - 0.5) < 1e-3
        )


def test_broken_rows_are_dead_letters_that_say_what_is_wrong(ran):
    letters = ran[2]
    assert {name: (line["stage"], line["error_type"]) for name, line in letters.items()} == {
        "broken-region": ("prepare", "unknown_label"),
        "broken-number": ("decode", "wrong_type"),
        "broken-cells": ("decode", "wrong_cells"),
    }
    assert "'centre'" in letters["broken-region"]["error_message"]
    assert "loans.csv, line 1003" in letters["broken-number"]["error_message"]
