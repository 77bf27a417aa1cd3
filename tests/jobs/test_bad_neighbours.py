"""Records that make a model raise cost no other record its prediction, whatever their share."""

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

COLOURS = ("red", "green", "blue")
RECORDS = 1000


@pytest.fixture
def colours(job):
    """A job whose model raises for a category that it does not know."""
    model = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression())
    model.fit(np.array([[c] for c in COLOURS] * 9, dtype=object), [0, 1, 2] * 9)
    folder = job.folder / "colours/1"
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")
    job.spec = {
        "name": "colours",
        "record": {"id": "id", "fields": {"colour": {"dtype": "string", "shape": [1]}}},
        "models": [
            {
                "name": "m",
                "framework": "sklearn",
                "uri": str(folder),
                "trusted": True,
                "warm_up": False,
                "inputs": {"X": "colour"},
                "outputs": {"predict": "label"},
            }
        ],
    }
    return job


@pytest.mark.parametrize("more", [(), ("--max_batch_size=64",)], ids=["default", "64"])
@pytest.mark.parametrize("percent", [0.5, 1, 5, 30])
def test_exactly_the_bad_records_become_dead_letters(colours, percent, more):
    bad = np.random.default_rng(int(percent * 10)).random(RECORDS) < percent / 100
    colours.write_input(
        *({"id": i, "colour": ["mauve" if b else COLOURS[i % 3]]} for i, b in enumerate(bad))
    )
    assert colours.run(*more) == 0
    letters = colours.dead_letters()
    assert sorted(letter["id"] for letter in letters) == np.flatnonzero(bad).tolist()
    assert {letter["error_type"] for letter in letters} == {"model_error"}
    found = {line["id"]: line["predictions"]["label"] for line in colours.predictions()}
    assert found == {i: i % 3 for i in np.flatnonzero(~bad).tolist()}
