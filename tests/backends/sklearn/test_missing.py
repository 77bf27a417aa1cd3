"""Missing values in DataFrames: what stands for them is what the estimator was fitted on."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Masked
from pipeline.serving.step.model_step import ModelStep
from tests.support import models
from tests.support.specs import load, model_spec

ROWS = 80
NOTHING = {"none": None, "nan": np.nan}
ENCODERS = {
    "one hot": lambda: OneHotEncoder(handle_unknown="ignore"),
    "ordinal": lambda: OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-7, encoded_missing_value=-1
    ),
}


def table(nothing):
    rng = np.random.default_rng(0)
    made = pd.DataFrame(
        {"x": rng.normal(size=ROWS), "port": rng.choice(["S", "C"], ROWS).astype(object)}
    )
    gone = rng.random(ROWS) < 0.4
    made.loc[gone, "port"] = np.nan
    if nothing is None:
        made["port"] = made.port.astype(object).where(~gone, None)
    return made, (gone ^ (made.x > 1)).astype(int), ~gone


def served(estimator, frame, present, folder, method="predict_proba"):
    path = models.save_estimator(estimator, folder / "model.joblib")
    inputs = {name: name for name in frame.columns}
    spec = model_spec(
        framework="sklearn", inputs=inputs, outputs={method: "y"}, uri=str(path), trusted=True
    )
    columns = {}
    for name in frame.columns:
        values = frame[name].to_numpy(copy=True)
        if name != "x":
            values = np.where(present, values, values[np.flatnonzero(present)[0]])
            kind = bool if isinstance(values[0], (bool, np.bool_)) else object
            columns[name] = Masked(values.astype(kind), np.asarray(present))
        else:
            columns[name] = values
    batch = Batch(tuple(range(len(frame))), (b"",) * len(frame), columns)
    return ModelStep(spec).run(batch, load(path, spec))


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_missing_text_is_the_one_that_the_encoder_knows(nothing, encoder, tmp_path):
    frame, target, present = table(NOTHING[nothing])
    estimator = make_pipeline(
        make_column_transformer((ENCODERS[encoder](), ["port"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame, target)
    done = served(estimator, frame, present, tmp_path)
    assert not done.rejects
    np.testing.assert_allclose(done.columns["y"], estimator.predict_proba(frame), rtol=1e-6)


@pytest.mark.parametrize("nothing", NOTHING)
def test_an_imputer_fills_what_it_was_told_to_fill(nothing, tmp_path):
    frame, target, present = table(NOTHING[nothing])
    imputer = SimpleImputer(missing_values=NOTHING[nothing], strategy="constant", fill_value="none")
    estimator = make_pipeline(
        make_column_transformer(
            (make_pipeline(imputer, OneHotEncoder()), ["port"]), remainder="passthrough"
        ),
        LogisticRegression(),
    ).fit(frame, target)
    done = served(estimator, frame, present, tmp_path)
    assert not done.rejects
    np.testing.assert_allclose(done.columns["y"], estimator.predict_proba(frame), rtol=1e-6)


BOOSTERS = {
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=5, enable_categorical=True),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=5),
}


@pytest.mark.parametrize("booster", BOOSTERS)
def test_categories_of_a_booster_may_be_missing_also_all_of_them(booster, tmp_path):
    frame, target, present = table(np.nan)
    frame["port"] = frame.port.astype("category")
    estimator = BOOSTERS[booster]().fit(frame, target)
    expected = estimator.predict_proba(frame)
    texts = frame.assign(port=frame.port.astype(object))
    done = served(estimator, texts, present, tmp_path)
    np.testing.assert_allclose(done.columns["y"], expected, rtol=1e-5)
    gone = np.flatnonzero(~present)[:1]
    alone = served(estimator, texts.iloc[[*gone, 0]], [False, True], tmp_path)
    np.testing.assert_allclose(alone.columns["y"][0], expected[gone[0]], rtol=1e-5)
    batch = Batch(
        (0,),
        (b"",),
        {
            "x": texts.x.to_numpy()[gone],
            "port": Masked(np.array([""], dtype=object), np.array([False])),
        },
    )
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    spec = model_spec(
        framework="sklearn",
        inputs={"x": "x", "port": "port"},
        outputs={"predict_proba": "y"},
        uri=str(path),
        trusted=True,
    )
    lone = ModelStep(spec).run(batch, load(path, spec))
    np.testing.assert_allclose(lone.columns["y"][0], expected[gone[0]], rtol=1e-5)


@pytest.mark.parametrize("booster", BOOSTERS)
def test_booleans_of_a_booster_are_numbers_also_where_some_are_missing(booster, tmp_path):
    frame, target, present = table(np.nan)
    frame["port"] = frame.x > 0
    estimator = BOOSTERS[booster]().fit(frame, target)
    done = served(estimator, frame, present, tmp_path)
    assert not done.rejects
    gaps = frame.assign(port=frame.port.astype(float).where(present, np.nan))
    np.testing.assert_allclose(done.columns["y"], estimator.predict_proba(gaps), rtol=1e-5)
