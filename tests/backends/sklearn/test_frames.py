"""Estimators that were fitted on a DataFrame: each column by its name, results as by hand."""

import os

import numpy as np
import pandas
import pytest

from pipeline.errors import LoadError
from tests.backends.sklearn.tables import (
    NUMBERS,
    TARGET,
    arrays,
    boosted_with_categories,
    bound,
    by_name,
    columns,
    dense,
    linear,
    loaded,
    one_hot,
    people,
    scale,
    then,
)
from tests.support import models
from tests.support.specs import load, model_spec


def by_kind():
    from sklearn.compose import make_column_selector as select

    return then(
        columns(
            (scale(), select(dtype_include="number")), (one_hot(), select(dtype_include=object))
        ),
        linear(),
    )


def imputed_and_passed_through():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer

    texts = then(SimpleImputer(strategy="most_frequent"), one_hot(handle_unknown="ignore"))
    forest = RandomForestClassifier(10, random_state=0)
    return then(columns((texts, ["sex"]), remainder="passthrough"), forest)


def frames_inside():
    scaled = columns((scale(), NUMBERS), (one_hot(sparse_output=False), ["sex"]))
    return then(scaled.set_output(transform="pandas"), linear())


def searched():
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(by_name(), {"logisticregression__C": [0.1, 1.0]}, cv=2)


KINDS = [
    by_name,
    by_kind,
    imputed_and_passed_through,
    frames_inside,
    boosted_with_categories,
    searched,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_rows_get_what_the_estimator_says_of_a_frame_in_whatever_order_they_are_bound(
    tmp_path, kind
):
    frame = people()
    estimator = kind().fit(frame, TARGET)
    servable = loaded(estimator, tmp_path, dict(reversed(bound(frame).items())))
    expected = estimator.predict_proba(frame)
    given = arrays(frame)
    np.testing.assert_array_equal(servable.predict(given)["predict_proba"], expected)
    one = {name: column[3:4] for name, column in given.items()}
    np.testing.assert_allclose(servable.predict(one)["predict_proba"], expected[3:4], rtol=1e-12)


@pytest.mark.parametrize("booster", ["gbtree", "gblinear"])
def test_booster_of_numbers_gets_them_by_name(tmp_path, booster):
    from xgboost import XGBRegressor

    frame = people()[NUMBERS]
    estimator = XGBRegressor(n_estimators=3, booster=booster, n_jobs=1).fit(frame, TARGET)
    servable = loaded(estimator, tmp_path, bound(frame), "predict")
    found = servable.predict(arrays(frame))["predict"]
    np.testing.assert_allclose(found, estimator.predict(frame), rtol=1e-6)


def test_numbers_by_name_need_no_transformer_of_columns(tmp_path):
    from sklearn.datasets import load_wine
    from sklearn.linear_model import Ridge

    wine = load_wine(as_frame=True)
    estimator = Ridge().fit(wine.data, wine.data[["hue", "ash"]].to_numpy())
    servable = loaded(estimator, tmp_path, bound(wine.data), "predict")
    found = servable.predict(arrays(wine.data))["predict"]
    np.testing.assert_array_equal(found, estimator.predict(wine.data))  # two targets: [rows, 2]


def test_one_matrix_has_the_names_by_which_the_estimator_picks_its_columns(tmp_path):
    frame = people()[[*NUMBERS, "rate"]]
    estimator = columns((scale(), ["rate", "Fare"]), remainder="passthrough").fit(frame)
    servable = loaded(estimator, tmp_path, {"X": "numbers"}, "transform")
    found = servable.predict({"X": frame.to_numpy()})["transform"]
    np.testing.assert_array_equal(found, estimator.transform(frame))


@pytest.mark.parametrize("kind", ["words", "hashed", "scaled", "chained", "own"])
def test_width_of_what_a_transformer_makes_is_known_where_it_is_scikit_learns(kind):
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
    from sklearn.preprocessing import FunctionTransformer

    from pipeline.backends.sklearn.features import width_made

    rows = people()[NUMBERS]
    transformers = {
        "words": CountVectorizer().fit(["a word", "more words"]),
        "hashed": HashingVectorizer(n_features=16),
        "scaled": scale().fit(rows),
        "chained": then(scale(), one_hot(handle_unknown="ignore")).fit(rows[:5]),
        "own": FunctionTransformer(lambda x: x).fit(rows),
    }
    given = ["a word"] if kind in ("words", "hashed") else rows
    width = transformers[kind].transform(given).shape[1]
    assert width_made(transformers[kind]) == (None if kind == "own" else (None, width))


def process_of(rows):
    return np.full((len(rows), 1), os.getpid(), dtype=np.float64)


@pytest.mark.parametrize("kind", ["columns", "union"])
def test_parts_of_an_estimator_compute_in_this_process(tmp_path, kind):
    from sklearn.pipeline import make_union
    from sklearn.preprocessing import FunctionTransformer

    frame = people()[NUMBERS]
    parts = [FunctionTransformer(process_of) for _ in range(2)]
    by_columns = columns(*zip(parts, (["Fare"], ["age (years)"]), strict=True))
    estimator = (by_columns if kind == "columns" else make_union(*parts)).fit(frame)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    entry = {"inputs": bound(frame), "outputs": {"transform": "t"}, "trusted": True}
    servable = load(path, model_spec(framework="sklearn", **entry), threads=2)
    found = servable.predict(arrays(frame))["transform"]
    assert {*found.ravel().tolist()} == {os.getpid()}


def test_a_list_finds_the_features_by_name_and_not_by_position(tmp_path):
    frame = people().rename(columns={"age (years)": "age_years"})
    estimator = columns((scale(), ["age_years", "Fare"]), (one_hot(), ["sex"])).fit(frame)
    listed = ["sex", "Fare", "rate", "class", "age_years"]
    servable = loaded(estimator, tmp_path, {"X": listed}, "transform")
    found = servable.predict(arrays(frame))["transform"]
    np.testing.assert_array_equal(found, estimator.transform(frame))


def test_a_list_is_by_position_where_the_estimator_has_no_names(tmp_path):
    rows = people().to_numpy(dtype=object)
    estimator = then(columns((scale(), [0, 1]), (one_hot(), [2, 3, 4])), linear())
    estimator.fit(rows, TARGET)
    names = ["age", "fare", "sex", "class", "rate"]
    servable = loaded(estimator, tmp_path, {"X": names})
    given = arrays(people(), dict(zip(people().columns, names, strict=True)))
    np.testing.assert_array_equal(
        servable.predict(given)["predict_proba"], estimator.predict_proba(rows)
    )
    with pytest.raises(LoadError, match="has 5 features without names; `inputs` binds 4 columns"):
        loaded(estimator, tmp_path / "few", {"X": names[:4]})
    with pytest.raises(LoadError, match=r"no names for its features.*\{X: \[a, b\]\}"):
        loaded(estimator, tmp_path / "named", {"age": "a", "fare": "b"})


def test_features_that_are_really_called_by_numbers_are_found_by_name(tmp_path):
    from sklearn.linear_model import LinearRegression

    frame = pandas.DataFrame({"f0": [1.0, 2, 3, 5], "f1": [100.0, 200, 50, 70]})
    estimator = LinearRegression().fit(frame, frame["f0"] + 2 * frame["f1"])
    for inputs in ({"X": ["f1", "f0"]}, {"f1": "a", "f0": "b"}):
        servable = loaded(estimator, tmp_path / str(len(str(inputs))), inputs, "predict")
        found = servable.predict(arrays(frame))["predict"]
        np.testing.assert_allclose(found, estimator.predict(frame))
    with pytest.raises(LoadError, match="no feature called 'b'"):
        loaded(estimator, tmp_path / "some", {"X": ["f1", "b"]}, "predict")


def test_one_feature_takes_single_values_and_a_matrix_whatever_it_is_called(tmp_path):
    from sklearn.linear_model import LinearRegression

    frame = pandas.DataFrame({"x": [1.0, 2, 3]})
    estimator = LinearRegression().fit(frame, [2, 4, 7])
    servable = loaded(estimator, tmp_path, {"X": "features"}, "predict")
    assert servable.signature.inputs[0].row_shape == (1,)  # to which single values are reshaped
    for shape in ((3,), (3, 1)):
        found = servable.predict({"X": frame["x"].to_numpy().reshape(shape)})["predict"]
        np.testing.assert_allclose(found, estimator.predict(frame))


def test_list_of_one_text_is_the_text(tmp_path):
    from sklearn.feature_extraction.text import CountVectorizer

    vectors = then(CountVectorizer(), scale_of_counts())
    texts = np.array(["good film", "bad film", "good"], dtype=object)
    estimator = vectors.fit(texts)
    servable = loaded(estimator, tmp_path, {"X": ["t"]}, "transform")
    found = servable.predict({"t": texts})["transform"]
    np.testing.assert_array_equal(found, dense(estimator.transform(texts)))


def scale_of_counts():
    from sklearn.preprocessing import MaxAbsScaler

    return MaxAbsScaler()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"sex": "a", "Fare": "b"}, r"needs its features age \(years\), class, rate, which"),
        ({"sex": "a", "Fair": "b"}, "has no feature called 'Fair'; its features are age"),
        ({"X": ["sex", "Fair"]}, "has no feature called 'Fair'; its features are age"),
        ({"Fare": "a", "fare": "b"}, "inputs 'Fare' and 'fare' are both its feature 'Fare'"),
    ],
)
def test_a_feature_that_is_not_bound_or_unknown_is_refused_with_the_names(
    tmp_path, inputs, message
):
    with pytest.raises(LoadError, match=message):
        loaded(by_name().fit(people(), TARGET), tmp_path, inputs)


def test_boosters_take_a_column_for_each_feature_in_any_order(tmp_path):
    import lightgbm
    import xgboost

    rows = people()[NUMBERS].rename(columns={"age (years)": "age"})
    trees = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, TARGET), 3)
    trees.save_model(tmp_path / "model.ubj")
    options = {"num_threads": 1, "verbose": -1, "min_data_in_leaf": 2}
    leaves = lightgbm.train(options, lightgbm.Dataset(rows, TARGET), 3)
    leaves.save_model(tmp_path / "model.txt")
    given = {name: column.astype("float32") for name, column in arrays(rows).items()}
    for framework, file, expected in [
        ("xgboost", "model.ubj", trees.predict(xgboost.DMatrix(rows))),
        ("lightgbm", "model.txt", leaves.predict(rows)),
    ]:
        for inputs in ({"Fare": "f", "age": "a"}, {"X": ["Fare", "age"]}):
            spec = model_spec(framework=framework, inputs=inputs, outputs={"predict": "y"})
            found = load(tmp_path / file, spec).predict(given)["predict"]
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_probabilities_of_several_targets_from_a_table(tmp_path):
    from sklearn.ensemble import RandomForestClassifier

    table = people()
    targets = np.stack([TARGET, TARGET > 0], axis=1).astype(int)
    estimator = then(
        columns((one_hot(), ["sex"]), ("passthrough", NUMBERS)), RandomForestClassifier(2)
    )
    estimator.fit(table[["sex", *NUMBERS]], targets)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    inputs = {name: name.split()[0] for name in ["sex", *NUMBERS]}
    entry = {"framework": "sklearn", "inputs": inputs, "outputs": {"predict": "p"}}
    model = load(path, model_spec(trusted=True, **entry))
    found = [tensor.name for tensor in model.signature.outputs]
    assert found == ["predict", "predict_proba.0", "predict_proba.1"]
