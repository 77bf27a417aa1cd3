import numpy as np
import pytest

from pipeline.batch.release import ModelVersion, Release
from pipeline.errors import LoadError, ModelError, RowsError
from pipeline.serving.rehearsal.rehearsal import rehearse
from pipeline.serving.release_manager import ReleaseManager
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.spec.model import unbound
from pipeline.testing import FakeLoader
from tests.support import models
from tests.support.specs import load, model_spec

COLUMNS = ("age", "sex", "code", "words")
BY_NAME = {name: name for name in COLUMNS}


def spec(*outputs, **changes):
    entry = {"inputs": {"X": "pixels"}, "outputs": {output: output for output in outputs}}
    return model_spec(**{"framework": "catboost", **entry, **changes})


def table():
    """Numbers, categories as text and as integers, and texts."""
    dice = np.random.default_rng(0)
    return {
        "age": dice.integers(18, 80, 200).astype("float32"),
        "sex": dice.choice(["male", "female"], 200).astype(object),
        "code": dice.integers(0, 4, 200),
        "words": dice.choice(["a nice day", "rain again", "sun and rain"], 200).astype(object),
    }


def trained(path, target, kind="CatBoostClassifier", columns=None, **settings):
    """A model of a table, saved; what CatBoost itself predicts with."""
    import catboost
    import pandas

    frame = pandas.DataFrame(columns or table())
    special = {"cat_features": [c for c in ("sex", "code") if c in frame]}
    special["text_features"] = [c for c in ("words",) if c in frame]
    settings = {"iterations": 5, "depth": 3, "allow_writing_files": False, **settings}
    fit = getattr(catboost, kind)(**settings, verbose=False).fit(frame, target, **special)
    fit.save_model(str(path / "model.cbm"))
    return fit, frame


def classes(count):
    age = table()["age"]
    return np.array(["young", "old", "older"], object)[np.digitize(age, [40, 60][: count - 1])]


@pytest.mark.parametrize("suffix", ["joblib", "pkl"])
def test_estimator_that_was_pickled_is_served_as_its_own_file(suffix, tmp_path):
    fit, frame = trained(tmp_path, classes(3))
    path = models.save_estimator(fit, tmp_path / f"model.{suffix}")
    described = load(path, unbound("sklearn", str(path), trusted=True)).signature.inputs
    assert [tensor.name for tensor in described] == list(COLUMNS)
    entry = spec("predict", "predict_proba", framework="sklearn", trusted=True, inputs=BY_NAME)
    found = load(path, entry).predict(table())
    assert found["predict"].tolist() == np.ravel(fit.predict(frame)).tolist()
    np.testing.assert_array_equal(found["predict_proba"], fit.predict_proba(frame))


@pytest.mark.parametrize("kind", ["CatBoostRegressor", "CatBoostRanker"])
def test_pickled_estimator_of_numbers_says_how_many_it_takes(kind, tmp_path):
    import catboost

    rows = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    settings = {"iterations": 3, "verbose": False, "allow_writing_files": False}
    groups = {"group_id": np.repeat([0, 1], 20)} if kind == "CatBoostRanker" else {}
    fit = getattr(catboost, kind)(**settings).fit(rows, rows[:, 0], **groups)
    path = models.save_estimator(fit, tmp_path / "model.joblib")
    entry = spec("predict", framework="sklearn", trusted=True)
    servable = load(path, entry)
    assert servable.signature.inputs[0].row_shape == (3,)
    found = servable.predict({"pixels": rows, "X": rows})["predict"]
    np.testing.assert_array_equal(found, fit.predict(rows))


@pytest.mark.parametrize("count", [2, 3])
def test_classifier_of_numbers_categories_and_texts_predicts_as_catboost_does(count, tmp_path):
    fit, frame = trained(tmp_path, classes(count))
    servable = load(tmp_path, spec("predict", "predict_proba", "raw", inputs=BY_NAME))
    found = servable.predict(table())
    assert found["predict"].tolist() == np.ravel(fit.predict(frame)).tolist()
    np.testing.assert_array_equal(found["predict_proba"], fit.predict_proba(frame))
    raw = fit.predict(frame, prediction_type="RawFormulaVal")
    np.testing.assert_array_equal(found["raw"], raw)
    outputs = {t.name: (t.dtype, t.row_shape) for t in servable.signature.outputs}
    assert outputs["predict"] == ("string", ())
    assert outputs["predict_proba"] == ("float64", (count,))


@pytest.mark.parametrize("loss", ["RMSE", "Poisson", "Tweedie:variance_power=1.5"])
def test_regressor_predicts_as_catboost_does_whatever_its_objective(loss, tmp_path):
    fit, frame = trained(tmp_path, table()["age"], "CatBoostRegressor", loss_function=loss)
    servable = load(tmp_path, spec("predict", inputs=BY_NAME))
    np.testing.assert_array_equal(servable.predict(table())["predict"], fit.predict(frame))


def test_uncertainty_is_a_second_value_as_catboost_gives_it(tmp_path):
    loss = "RMSEWithUncertainty"
    fit, frame = trained(tmp_path, table()["age"], "CatBoostRegressor", loss_function=loss)
    servable = load(tmp_path, spec("predict", inputs=BY_NAME))
    np.testing.assert_array_equal(servable.predict(table())["predict"], fit.predict(frame))


def test_columns_are_found_by_name_in_any_order(tmp_path):
    fit, frame = trained(tmp_path, classes(2))
    listed = {"X": ["words", "code", "age", "sex"]}
    servable = load(tmp_path, spec("predict_proba", inputs=listed))
    found = servable.predict({name: table()[name] for name in listed["X"]})["predict_proba"]
    np.testing.assert_array_equal(found, fit.predict_proba(frame))


def test_integers_of_a_category_are_the_same_where_their_column_lacks_some(tmp_path):
    fit, frame = trained(tmp_path, classes(2))
    columns = table()
    servable = load(tmp_path, spec("predict_proba", inputs=BY_NAME))
    columns["code"] = columns["code"].astype("float64")  # what stands beside NaN is a float
    found = servable.predict(columns)["predict_proba"]
    np.testing.assert_array_equal(found, fit.predict_proba(frame))
    columns["code"][3] = np.nan
    with pytest.raises(RowsError, match="found no value in 'code'") as refused:
        servable.predict(columns)
    assert list(refused.value.messages) == [3]


def test_missing_numbers_go_where_catboost_sends_them(tmp_path):
    columns = {"age": table()["age"], "fare": table()["age"] * 2}
    columns["age"][::7] = np.nan
    fit, frame = trained(tmp_path, columns["fare"], "CatBoostRegressor", columns)
    found = load(tmp_path, spec("predict", inputs={"X": ["fare", "age"]})).predict(columns)
    np.testing.assert_array_equal(found["predict"], fit.predict(frame))


def launch_with_gaps(path, column):
    """Rehearses an ensemble of the model in which one field may lack values."""
    dtypes = {"age": "float32", "sex": "string", "code": "int64", "words": "string"}
    fields = {name: {"dtype": dtype} for name, dtype in dtypes.items()}
    fields[column]["missing"] = "keep"
    entry = {"name": "m", "framework": "catboost", "uri": str(path), "inputs": BY_NAME}
    entry |= {"outputs": {"predict_proba": "p"}}
    data = {"name": "e", "record": {"fields": fields}, "models": [entry]}
    graph = resolve(EnsembleSpec.model_validate(data))
    servable = load(path, graph.models[0])
    release = Release(1, (ModelVersion("m", str(path), "1"),))
    rehearse(graph, release, ReleaseManager(FakeLoader(lambda version: servable)))


def test_gaps_in_numbers_pass_the_launch_and_those_in_categories_and_texts_do_not(tmp_path):
    trained(tmp_path, classes(2))
    launch_with_gaps(tmp_path, "age")
    for column in ("sex", "code", "words"):
        with pytest.raises(
            ModelError, match=f"'{column}' .* may lack values, .* found no value in '{column}'"
        ):
            launch_with_gaps(tmp_path, column)


def test_matrix_is_refused_where_features_are_categories_or_texts(tmp_path):
    trained(tmp_path, classes(2))
    with pytest.raises(
        LoadError, match=r"categories or texts \(sex, code, words\), .*its features are age, sex"
    ):
        load(tmp_path, spec("predict"))


def test_categories_take_no_floats(tmp_path):
    trained(tmp_path, classes(2))
    inputs = {t.name: t for t in load(tmp_path, spec("predict", inputs=BY_NAME)).signature.inputs}
    assert inputs["age"].dtype == "float32"
    assert inputs["words"].dtype == "string"
    assert {"int64", "string", "bool"} <= set(inputs["code"].taken.dtypes)
    assert not {"float32", "float64"} & set(inputs["code"].taken.dtypes)


@pytest.mark.parametrize("size", [4, 7, 100])
def test_cut_off_file_is_refused(size, tmp_path):
    path = models.catboost_cbm(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LoadError, match=r"model\.cbm is cut off"):
        load(path, spec("predict"))


def test_other_file_is_refused_with_what_was_expected(tmp_path):
    (tmp_path / "model.cbm").write_text("trees are nice\n")
    with pytest.raises(LoadError, match=r"not a CatBoost model .*save_model\('model\.cbm'\)"):
        load(tmp_path, spec("predict"))


def test_vectors_are_refused_by_name(tmp_path):
    import catboost

    rows = [[[0.1 * i, 1.0], float(i)] for i in range(20)]
    pool = catboost.Pool(
        rows, list(range(20)), embedding_features=[0], feature_names=["embedding", "age"]
    )
    settings = {"iterations": 2, "allow_writing_files": False, "verbose": False}
    fit = catboost.CatBoostRegressor(**settings).fit(pool)
    fit.save_model(str(tmp_path / "model.cbm"))
    with pytest.raises(LoadError, match=r"takes vectors \(embedding\)"):
        load(tmp_path, spec("predict"))
