"""The tabular example as a user runs it, and its numbers as the frameworks give them by hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import main

TABULAR = Path(__file__).parents[2] / "examples" / "tabular"
FEATURES = ["age", "monthly income", "debt", "late payments", "employed", "region"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder, predictions and dead letters by id."""
    folder = tmp_path_factory.mktemp("tabular")
    script = [sys.executable, str(TABULAR / "make.py"), "--output_dir", str(folder)]
    made = subprocess.run(script, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "1000 loans, 207 with gaps, and 3 broken rows" in made.stdout
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


@pytest.fixture(scope="module")
def loans(ran):
    """The rows of the file that are whole, as pandas reads them."""
    rows = pd.read_csv(ran[0] / "loans.csv", skipfooter=3, engine="python", index_col="id")
    assert rows.isna().any(axis=1).sum() == 207
    return rows.astype({"employed": bool, "defaulted": bool})


def predicted(ran, loans, name):
    return np.array([ran[1][loan]["predictions"][name] for loan in loans.index])


def test_every_loan_is_predicted_as_the_frameworks_do_by_hand(ran, loans):
    import torch
    import xgboost
    from skops import io as skops_io

    models = ran[0] / "models"
    assert ran[1].keys() == set(loans.index)
    file = models / "linear/1/model.skops"
    pipeline = skops_io.load(file, trusted=skops_io.get_untrusted_types(file=file))
    linear = pipeline.predict_proba(loans[FEATURES])
    regions = pd.CategoricalDtype(["east", "north", "south", "west"])
    categories = loans[FEATURES].astype({"region": regions})
    matrix = xgboost.DMatrix(categories, enable_categorical=True)
    trees = xgboost.Booster(model_file=models / "trees/1/model.ubj").predict(matrix)
    with torch.inference_mode():
        stack = torch.jit.load(models / "stack/1/model.pt")
        risk = stack(torch.from_numpy(linear), torch.from_numpy(trees)).numpy()
    np.testing.assert_allclose(predicted(ran, loans, "linear_proba"), linear, rtol=1e-9)
    np.testing.assert_allclose(predicted(ran, loans, "trees_risk"), trees, rtol=1e-5)
    np.testing.assert_allclose(predicted(ran, loans, "rounded"), risk, atol=1e-4)
    clear = np.abs(risk - 0.5) > 1e-4
    np.testing.assert_array_equal(predicted(ran, loans, "refuse")[clear], risk[clear] >= 0.5)


def test_unknown_incomes_are_told(ran, loans):
    unknown = loans["monthly income"].isna()
    assert 0 < unknown.sum() < len(loans)
    np.testing.assert_array_equal(predicted(ran, loans, "income_unknown"), unknown)


def test_the_stack_knows_at_least_what_each_of_the_two_knows(ran, loans):
    from sklearn.metrics import roc_auc_score

    risks = {name: predicted(ran, loans, name) for name in ("rounded", "trees_risk")}
    risks["linear"] = predicted(ran, loans, "linear_proba")[:, 1]
    areas = {name: roc_auc_score(loans["defaulted"], risk) for name, risk in risks.items()}
    assert areas["rounded"] > 0.75
    assert areas["rounded"] > max(areas.values()) - 0.01


def test_broken_rows_are_dead_letters_that_say_what_is_wrong(ran):
    letters = ran[2]
    assert {name: (line["stage"], line["error_type"]) for name, line in letters.items()} == {
        "broken-region": ("inference", "model_error"),
        "broken-number": ("decode", "wrong_type"),
        "broken-cells": ("decode", "wrong_cells"),
    }
    assert "'centre' in 'region'" in letters["broken-region"]["error_message"]
    assert "loans.csv, line 1003" in letters["broken-number"]["error_message"]
