"""What estimators know of the names of their features, and what they do with an array."""

import warnings

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import ModelFaultError
from tests.support import models
from tests.support.named_models import NAMES, matrix, table, target
from tests.support.specs import load, model_spec

COLUMNS = table()
FRAME = pa.table(COLUMNS)  # has names, as a DataFrame has them
FEW = matrix(COLUMNS)[:5].astype("float32")


def loaded(estimator, folder, *outputs):
    path = models.save_estimator(estimator, folder / "model.joblib")
    entry = {"inputs": {"X": "x"}, "outputs": {output: output for output in outputs}}
    return load(path, model_spec(framework="sklearn", trusted=True, **entry))


def features(servable):
    (tensor,) = servable.signature.inputs
    return tensor.features, tensor.dims


def pipeline(*steps):
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps).fit(FRAME, target(COLUMNS))


def linear(**options):
    from sklearn.linear_model import Ridge

    return Ridge(**options)


def scaler():
    from sklearn.preprocessing import StandardScaler

    return StandardScaler()


def search(estimator):
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(estimator, {"alpha": [0.1, 1.0]}, cv=2)


def transformed(estimator):
    from sklearn.compose import TransformedTargetRegressor

    return TransformedTargetRegressor(estimator)


@pytest.mark.parametrize(
    "steps",
    [
        lambda: [linear()],
        lambda: [scaler(), linear()],
        lambda: ["passthrough", scaler(), linear()],
        lambda: [search(linear())],
        lambda: [transformed(linear())],
    ],
    ids=["alone", "scaled", "passed through", "search", "target"],
)
def test_names_are_those_of_the_table_that_it_was_fitted_on(tmp_path, steps):
    servable = loaded(pipeline(*steps()), tmp_path, "predict")
    assert features(servable) == (NAMES, (None, 4))


def test_estimator_that_was_fitted_on_an_array_has_no_names(tmp_path):
    estimator = linear().fit(matrix(COLUMNS), target(COLUMNS))
    assert features(loaded(estimator, tmp_path, "predict")) == (None, (None, 4))


def test_boosted_trees_as_estimators_have_names_in_files_of_any_release(tmp_path):
    import lightgbm
    import xgboost

    trees = xgboost.XGBRegressor(n_estimators=2).fit(FRAME, target(COLUMNS))
    assert features(loaded(trees, tmp_path / "xgb", "predict"))[0] == NAMES
    trees = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(FRAME, target(COLUMNS))
    assert features(loaded(trees, tmp_path / "lgbm", "predict"))[0] == NAMES
    del trees._fitted_with_feature_names  # which releases before 4.5 did not write
    assert features(loaded(trees, tmp_path / "older", "predict"))[0] == NAMES


def test_call_with_an_array_warns_of_no_names(tmp_path):
    servable = loaded(pipeline(scaler(), linear()), tmp_path, "predict")
    with warnings.catch_warnings(record=True) as caught:
        servable.predict({"X": FEW})
    assert not caught


@pytest.mark.parametrize("booster", ["gblinear", "gbtree", "dart"])
def test_xgboost_takes_an_array_whatever_it_is_made_of(tmp_path, booster):
    import xgboost

    model = xgboost.XGBRegressor(n_estimators=3, booster=booster).fit(FRAME, target(COLUMNS))
    expected = model.predict(FRAME.slice(0, 5))
    servable = loaded(pipeline_of(model), tmp_path, "predict")
    assert np.allclose(servable.predict({"X": FEW})["predict"], expected, rtol=1e-5)
    assert features(servable)[0] == NAMES


def pipeline_of(model):
    from sklearn.pipeline import Pipeline

    return Pipeline([("model", model)])


class Nameless:
    """A transformer that changes nothing and keeps no names."""

    def fit(self, rows, target=None):
        return self

    def transform(self, rows):
        return rows


def test_columns_that_are_picked_by_name_are_a_fault_that_names_ways_out(tmp_path):
    from sklearn.compose import make_column_transformer

    by_name = make_column_transformer((scaler(), ["age", "fare"]), remainder=scaler())
    servable = loaded(pipeline(Nameless(), by_name, linear()), tmp_path, "predict")
    assert features(servable)[0] is None
    with pytest.raises(ModelFaultError, match=r"by name, .* `inputs: \{X: \[age, sex\]\}`"):
        servable.predict({"X": FEW})


def test_columns_that_are_picked_by_position_need_no_names(tmp_path):
    from sklearn.compose import make_column_transformer

    by_place = make_column_transformer((scaler(), [0, 1]), remainder=scaler())
    estimator = pipeline(by_place, linear())
    found = loaded(estimator, tmp_path, "predict").predict({"X": FEW})["predict"]
    assert np.allclose(found, estimator.predict(FRAME.slice(0, 5)), rtol=1e-5)
