"""A table as people have it, through a pipeline that was fitted on a DataFrame."""

import json

import numpy as np
import pandas
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import main
from pipeline.commands.command_line import main as command
from tests.support import models

ROWS = 30


@pytest.fixture
def passengers():
    random = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "age": random.integers(18, 80, ROWS).astype(float),
            "fare": random.gamma(2, 20, ROWS).round(2),
            "sex": random.choice(["male", "female"], ROWS),
        }
    )


def test_unknown_category_costs_its_row_and_all_others_are_as_by_hand(tmp_path, passengers):
    encoded = make_column_transformer(
        (StandardScaler(), ["age", "fare"]), (OneHotEncoder(), ["sex"])
    )
    estimator = make_pipeline(encoded, LogisticRegression()).fit(passengers, passengers["age"] > 50)
    models.save_estimator(estimator, tmp_path / "models/1/model.joblib")
    (tmp_path / "ensemble.yaml").write_text(
        """
name: survivors
record:
  id: id
  fields: {sex: {dtype: string}, fare: {dtype: float64}, age: {dtype: float64}}
models:
  - name: survivor
    framework: sklearn
    uri: models/1
    trusted: true
    inputs: {X: [sex, fare, age]} # in another order than the estimator has them
    outputs: {predict_proba: p}
output: [p]
"""
    )
    rows = passengers.assign(id=[f"r{i}" for i in range(ROWS)])
    rows.loc[7, "sex"] = "unknown"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "out"
    arguments = [
        f"--ensemble_spec={tmp_path}/ensemble.yaml",
        f"--input_file_pattern={tmp_path}/rows.csv",
        f"--output_path={out}/p",
        f"--dead_letter_path={out}/dead",
    ]
    assert main.main(arguments) == 0
    lines = [json.loads(x) for f in out.glob("p*.jsonl") for x in f.read_text().splitlines()]
    found = {line["id"]: line["predictions"]["p"] for line in lines}
    (dead,) = [json.loads(x) for f in out.glob("dead*.jsonl") for x in f.read_text().splitlines()]
    assert (dead["id"], dead["error_type"]) == ("r7", "model_error")
    assert "Found unknown categories ['unknown']" in dead["error_message"]
    by_hand = estimator.predict_proba(passengers)
    assert found.keys() == {f"r{i}" for i in range(ROWS) if i != 7}
    for name, probabilities in found.items():
        np.testing.assert_allclose(probabilities, by_hand[int(name[1:])], rtol=1e-12)


def test_vectoriser_and_its_classifier_in_files_of_their_own_run_as_init_finds_them(
    tmp_path, monkeypatch
):
    texts = [f"word{i % 7} word{i % 5} añb" for i in range(ROWS)]
    words = TfidfVectorizer().fit(texts)
    classifier = LogisticRegression().fit(words.transform(texts), [i % 2 for i in range(ROWS)])
    models.save_estimator(words, tmp_path / "models/words/1/model.joblib")
    models.save_estimator(classifier, tmp_path / "models/sentiment/1/model.joblib")
    rows = pandas.DataFrame({"id": [f"r{i}" for i in range(ROWS)], "the text": texts})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert command(["init", "models", "--records=rows.csv", "--trusted", "--trial_secs=0"]) == 0
    arguments = ["--input_file_pattern=rows.csv", "--output_path=out/p"]
    assert main.main(["--ensemble_spec=ensemble.yaml", *arguments]) == 0
    (out,) = (tmp_path / "out").glob("p-0*")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    by_hand = classifier.predict_proba(words.transform(texts))
    assert sorted(line["id"] for line in lines) == sorted(rows["id"])
    for line in lines:
        assert line["predictions"].keys() == {"sentiment_proba"}
        expected = by_hand[int(line["id"][1:])]
        np.testing.assert_allclose(line["predictions"]["sentiment_proba"], expected, rtol=1e-12)
