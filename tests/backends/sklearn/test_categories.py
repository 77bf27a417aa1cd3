"""Estimators that were fitted on categories: as in training, and no other for an unknown one."""

import numpy as np
import pandas
import pytest

from pipeline.errors import InferenceError, RowsError
from pipeline.spec.model import unbound
from tests.backends.sklearn.tables import (
    NUMBERS,
    TARGET,
    arrays,
    boosted_with_categories,
    bound,
    by_name,
    columns,
    dense,
    loaded,
    one_hot,
    people,
    then,
)
from tests.support import models
from tests.support.specs import load


def boosted_by_lightgbm():
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=3, min_child_samples=2, n_jobs=1, verbose=-1)


def boosted_by_xgboost():
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1)


@pytest.mark.parametrize(
    "kind",
    [boosted_with_categories, boosted_by_lightgbm, boosted_by_xgboost],
    ids=lambda kind: kind.__name__,
)
def test_categories_of_pandas_are_those_that_it_was_fitted_with(tmp_path, kind):
    frame = people().astype({"sex": "category"})
    estimator = kind().fit(frame, TARGET)
    servable = loaded(estimator, tmp_path, bound(frame))
    expected = estimator.predict_proba(frame)
    given = arrays(people())
    np.testing.assert_allclose(servable.predict(given)["predict_proba"], expected, rtol=1e-6)
    for row in range(4):  # one category alone would be the first of the frame's own
        one = {name: column[row : row + 1] for name, column in given.items()}
        found = servable.predict(one)["predict_proba"]
        np.testing.assert_allclose(found, expected[row : row + 1], rtol=1e-6)


def of_categories(kind, **options):
    """An estimator that takes what pandas calls categories for such."""
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from xgboost import XGBClassifier

    if kind == "lightgbm":
        return LGBMClassifier(n_estimators=3, min_child_samples=2, n_jobs=1, verbose=-1)
    if kind == "xgboost":
        return XGBClassifier(n_estimators=3, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1)
    return HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5)


def searched_for(estimator):
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(estimator, {"learning_rate": [0.3]}, cv=2)


def calibrated(estimator):
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(estimator, cv=2)


def stacked(estimator, *, passthrough=False):
    from sklearn.ensemble import StackingClassifier

    inner = [("a", estimator), ("b", estimator)]
    return StackingClassifier(inner, estimator, cv=2, passthrough=passthrough)


def voted_on(estimator):
    from sklearn.ensemble import VotingClassifier

    return VotingClassifier([("a", estimator), ("b", estimator)], voting="soft")


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "histogram"])
@pytest.mark.parametrize(
    "around",
    [None, searched_for, calibrated, stacked, voted_on],
    ids=["alone", "search", "calibr", "stack", "vote"],
)
def test_categories_are_known_before_they_are_bound_and_may_be_integers(tmp_path, kind, around):
    frame = people().astype({"sex": "category", "class": "category"})
    target = TARGET if around is None else (TARGET > 0).astype(int)
    estimator = of_categories(kind) if around is None else around(of_categories(kind))
    estimator.fit(frame, target)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    described = load(path, unbound("sklearn", str(path), trusted=True)).signature.inputs
    names = [tensor.name.replace("_", " ") for tensor in described]  # LightGBM has no blanks
    assert names == list(frame.columns)
    servable = loaded(estimator, tmp_path, bound(frame))
    given = arrays(people())
    found = servable.predict(given)["predict_proba"]
    np.testing.assert_allclose(found, estimator.predict_proba(frame), rtol=1e-5)
    one = {name: column[5:6] for name, column in given.items()}
    np.testing.assert_allclose(servable.predict(one)["predict_proba"], found[5:6], rtol=1e-5)


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_codes_are_not_handed_to_the_end_of_a_stack_that_gets_the_rows_too(tmp_path, kind):
    frame = people().drop(columns="sex").astype({"class": "category"})
    estimator = stacked(of_categories(kind), passthrough=True)
    estimator.fit(frame, (TARGET > 0).astype(int))
    servable = loaded(estimator, tmp_path, bound(frame))
    with pytest.raises((InferenceError, ValueError)):  # the booster's: it knows categories
        servable.predict(arrays(people().drop(columns="sex")))


def test_booster_behind_other_steps_gets_what_they_make(tmp_path):
    frame = people().astype({"sex": "category"})
    encoded = then(
        columns((one_hot(), ["sex"]), ("passthrough", NUMBERS)), of_categories("xgboost")
    )
    estimator = voted_on(encoded).fit(frame, TARGET)
    found = loaded(estimator, tmp_path, bound(frame)).predict(arrays(people()))["predict_proba"]
    np.testing.assert_allclose(found, estimator.predict_proba(frame), rtol=1e-6)


def test_value_that_xgboost_takes_for_another_category_costs_its_row(tmp_path):
    frame = people()[["sex", "Fare"]].replace({"male": "d", "female": "b"})
    frame = frame.astype({"sex": "category"})
    servable = loaded(of_categories("xgboost").fit(frame, TARGET), tmp_path, bound(frame))
    given = {"sex": np.array(["a", "b", "c", "d", "e"], object), "Fare": np.ones(5)}
    with pytest.raises(RowsError) as error:
        servable.predict(given)
    assert sorted(error.value.messages) == [0, 2, 4]
    assert "found 'c' in 'sex', which is none of its categories" in error.value.messages[2]


def test_signature_has_the_types_and_the_texts_that_its_encoders_know(tmp_path):
    servable = loaded(by_name().fit(people(), TARGET), tmp_path, bound(people()))
    found = {t.name: (t.dtype, t.row_shape, t.values) for t in servable.signature.inputs}
    assert found == {
        "age (years)": (None, (), None),
        "Fare": (None, (), None),
        "sex": ("string", (), ("female", "male")),
        "class": (None, (), None),
        "rate": (None, (), None),
    }


def test_categories_that_are_numbers_are_known_in_fewer_digits(tmp_path):
    from sklearn.impute import SimpleImputer

    imputed = then(SimpleImputer(strategy="most_frequent"), one_hot(handle_unknown="ignore"))
    estimator = columns((imputed, ["rate", "class"]), (one_hot(), ["sex"])).fit(people())
    frame = people()[["rate", "class", "sex"]]
    for places, fitted in ((None, people()), ([4, 3, 2], people().to_numpy(dtype=object))):
        picked = ["rate", "class", "sex"] if places is None else places
        estimator = columns((imputed, picked[:2]), (one_hot(), picked[2:])).fit(fitted)
        names = [f"c{i}" for i in range(5)] if places else list(people().columns)
        inputs = {"X": names} if places else bound(people())
        servable = loaded(estimator, tmp_path / str(places), inputs, "transform")
        given = arrays(people(), dict(zip(people().columns, names, strict=True)))
        short = {n: c.astype("float32") if c.dtype.kind == "f" else c for n, c in given.items()}
        expected = estimator.transform(fitted)
        np.testing.assert_array_equal(servable.predict(short)["transform"], dense(expected))
        texts = {t.name: t.values for t in servable.signature.inputs}
        assert texts[names[2]] == ("female", "male")
    assert frame["rate"].nunique() == 3


def test_whole_numbers_beyond_the_digits_of_a_float_stay_what_they_are(tmp_path):
    frame = pandas.DataFrame({"user": [2**60 + 1, 2**60 + 2], "n": [1, 2]})
    estimator = columns((one_hot(), ["user", "n"])).fit(frame)
    servable = loaded(estimator, tmp_path, bound(frame), "transform")
    assert {t.dtype for t in servable.signature.inputs} == {None}
    found = servable.predict(arrays(frame))["transform"]
    np.testing.assert_array_equal(found, dense(estimator.transform(frame)))
