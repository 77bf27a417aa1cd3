"""Estimators that were fitted on a DataFrame: each column by its name, results as by hand."""

import os

import numpy as np
import pandas
import pytest

from pipeline.errors import InferenceError, LoadError, RowsError
from pipeline.spec.model import unbound
from tests.support import models
from tests.support.specs import load, model_spec

PEOPLE = 60


def people():
    """A table as people have them: numbers, whole numbers, texts, names with spaces."""
    random = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "age (years)": random.integers(18, 80, PEOPLE).astype(float),
            "Fare": random.gamma(2, 20, PEOPLE).round(2),
            "sex": random.choice(["male", "female"], PEOPLE),
            "class": random.integers(1, 4, PEOPLE),
            "rate": random.choice([0.1, 0.2, 0.7], PEOPLE),
        }
    )


NUMBERS = ["age (years)", "Fare"]
TARGET = (people()["Fare"] > 40).astype(int) + (people()["sex"] == "female")


def columns(*transformers, **options):
    from sklearn.compose import make_column_transformer

    return make_column_transformer(*transformers, **options)


def then(first, last):
    from sklearn.pipeline import make_pipeline

    return make_pipeline(first, last)


def linear():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def scale():
    from sklearn.preprocessing import StandardScaler

    return StandardScaler()


def one_hot(**options):
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(**options)


def by_name():
    return then(columns((scale(), NUMBERS), (one_hot(), ["sex", "class", "rate"])), linear())


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


def boosted_with_categories():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(categorical_features=["sex"], max_iter=5)


def boosted_by_lightgbm():
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=3, min_child_samples=2, n_jobs=1, verbose=-1)


def boosted_by_xgboost():
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1)


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


def loaded(estimator, folder, inputs, *outputs):
    path = models.save_estimator(estimator, folder / "model.joblib")
    outputs = {output: output.replace("predict", "y") for output in outputs or ["predict_proba"]}
    spec = model_spec(framework="sklearn", trusted=True, inputs=inputs, outputs=outputs)
    return load(path, spec)


def arrays(frame, names=None):
    """The columns as the graph has them; text is an object array."""
    return {
        (names or {}).get(name, name): frame[name].to_numpy(
            dtype=object if frame[name].dtype == object else None
        )
        for name in frame.columns
    }


def bound(frame):
    return {name: f"column_{i}" for i, name in enumerate(frame.columns)}


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
        np.testing.assert_array_equal(servable.predict(short)["transform"], _dense(expected))
        texts = {t.name: t.values for t in servable.signature.inputs}
        assert texts[names[2]] == ("female", "male")
    assert frame["rate"].nunique() == 3


def _dense(array):
    return array.toarray() if hasattr(array, "toarray") else array


def test_whole_numbers_beyond_the_digits_of_a_float_stay_what_they_are(tmp_path):
    frame = pandas.DataFrame({"user": [2**60 + 1, 2**60 + 2], "n": [1, 2]})
    estimator = columns((one_hot(), ["user", "n"])).fit(frame)
    servable = loaded(estimator, tmp_path, bound(frame), "transform")
    assert {t.dtype for t in servable.signature.inputs} == {None}
    found = servable.predict(arrays(frame))["transform"]
    np.testing.assert_array_equal(found, _dense(estimator.transform(frame)))


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
    np.testing.assert_array_equal(found, _dense(estimator.transform(texts)))


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
