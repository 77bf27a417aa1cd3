import logging

import numpy as np
import pytest

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.errors import LoadError, UntrustedArtifactError
from tests.support import models
from tests.support.estimators import TellsItsJobs
from tests.support.specs import load, model_spec


def spec(*outputs, **changes):
    entry = {"inputs": {"X": "pixels"}, "outputs": {output: output for output in outputs}}
    return model_spec(framework="sklearn", **{**entry, **changes})


def nearest_neighbours():
    """skops knows some of its types not to be part of scikit-learn's safe ones."""
    from sklearn.neighbors import KNeighborsClassifier

    x = np.random.default_rng(0).normal(size=(30, 4))
    return KNeighborsClassifier().fit(x, np.arange(30) % 3)


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model.pickle", "model.sav"])
def test_pickled_file_is_refused_unless_trusted(name, tmp_path):
    path = models.save_estimator(models.classifier(), tmp_path / name)
    with pytest.raises(UntrustedArtifactError, match=r"would run code.*skops.*`trusted: true`"):
        load(path, spec("predict"))
    assert load(path, spec("predict", trusted=True)).predict({"X": np.zeros((2, 4))})


def test_skops_file_with_unknown_types_is_refused_by_their_names_unless_trusted(tmp_path):
    path = models.save_estimator(nearest_neighbours(), tmp_path / "model.skops")
    with pytest.raises(UntrustedArtifactError, match=r"KDTree.*`trusted: true`"):
        load(path, spec("predict"))
    rows = {"X": np.zeros((1, 4))}
    found = load(path, spec("predict", trusted=True)).predict(rows)["predict"]
    assert found == nearest_neighbours().predict(rows["X"])


def test_refusal_leaves_the_code_in_a_pickle_unrun(tmp_path):
    marker = tmp_path / "ran"
    path = tmp_path / "model.pkl"
    path.write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    with pytest.raises(UntrustedArtifactError):
        load(path, spec("predict"))
    assert not marker.exists()


def test_folder_with_two_models_is_refused_with_what_it_holds(tmp_path):
    models.sklearn_skops(tmp_path)
    models.sklearn_pickle(tmp_path)
    (tmp_path / "README").touch()
    with pytest.raises(LoadError, match=r"2 fit; it holds README, model.pkl, model.skops"):
        load(tmp_path, spec("predict"))


def test_file_of_another_kind_is_refused_with_the_suffixes_that_fit(tmp_path):
    path = models.onnx_file(tmp_path)
    with pytest.raises(LoadError, match=r"none of the suffixes \.skops, \.joblib"):
        load(path, spec("predict"))


def test_pickle_that_holds_no_estimator_is_refused(tmp_path):
    path = models.save_estimator({"weights": [1, 2]}, tmp_path / "model.pkl")
    with pytest.raises(LoadError, match=r"holds a dict \(weights\), not a fitted estimator"):
        load(path, spec("predict", trusted=True))


def test_labels_are_text_and_probabilities_come_from_the_same_rows(tmp_path):
    path = models.save_estimator(models.classifier(), tmp_path / "model.skops")
    servable = load(path, spec("predict", "predict_proba", "decision_function"))
    rows = np.array([[-2.0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]])
    found = servable.predict({"X": rows})
    assert found["predict"].tolist() == list(models.CLASSES)
    assert all(type(label) is str for label in found["predict"])
    assert found["predict_proba"].argmax(axis=1).tolist() == [0, 1, 2]
    assert found["decision_function"].shape == (3, 3)
    outputs = {t.name: t for t in servable.signature.outputs}
    assert outputs["predict"].dtype == "string"
    assert outputs["predict_proba"].row_shape == (3,)


def test_text_pipeline_takes_a_column_of_texts(tmp_path):
    path = models.save_estimator(models.text_classifier(), tmp_path / "model.skops")
    servable = load(path, spec("predict", inputs={"review": "text"}))
    texts = np.array(["good film", "bad", "", "very GOOD ünïcode"], dtype=object)
    found = servable.predict({"review": texts})["predict"].tolist()
    assert found == models.text_classifier().predict(texts).tolist()
    assert found[:2] == ["up", "down"]


def test_method_that_the_estimator_lacks_is_refused_with_those_it_has(tmp_path):
    path = models.sklearn_skops(tmp_path)
    with pytest.raises(LoadError, match=r"no output 'predict_proba'; its outputs are predict$"):
        load(path, spec("predict_proba"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": "left", "b": "right"}, "has no names for its features"),
        ({"X": {"value": [1, 2, 3, 4], "dtype": "float32"}}, "exactly one input from a column"),
    ],
)
def test_inputs_that_are_no_features_and_no_matrix_are_refused(inputs, message, tmp_path):
    with pytest.raises(LoadError, match=message):
        load(models.sklearn_skops(tmp_path), spec("predict", inputs=inputs))


def test_sparse_result_becomes_a_dense_column(tmp_path):
    vectorizer = models.text_classifier()[:1]
    path = models.save_estimator(vectorizer, tmp_path / "model.skops")
    texts = np.array(["good film", "bad film"], dtype=object)
    found = load(path, spec("transform")).predict({"X": texts})["transform"]
    np.testing.assert_array_equal(found, vectorizer.transform(texts).toarray())


def several_targets(kind):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
    from sklearn.pipeline import make_pipeline

    x = np.random.default_rng(0).normal(size=(20, 4))
    y = np.stack([np.arange(20) % 3, x[:, 1] > 0], axis=1)
    estimator = {
        "forest": RandomForestClassifier(2),
        "one each": make_pipeline(MultiOutputClassifier(LogisticRegression())),
        "chain": ClassifierChain(LogisticRegression()),
    }[kind]
    return x, estimator.fit(x, y[:, 1:] if kind == "chain" else y)


@pytest.mark.parametrize("kind", ["forest", "one each"])
def test_probabilities_of_several_targets_are_an_output_each(kind, tmp_path):
    x, estimator = several_targets(kind)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    found = load(path, spec("predict_proba.1", "predict_proba.0", trusted=True)).predict({"X": x})
    for place, expected in enumerate(estimator.predict_proba(x)):
        np.testing.assert_array_equal(found[f"predict_proba.{place}"], expected)
    with pytest.raises(LoadError, match=r"its outputs are predict, predict_proba.0, predict_proba"):
        load(path, spec("predict_proba", trusted=True))


def test_probabilities_of_a_chain_are_one_output(tmp_path):
    x, estimator = several_targets("chain")
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    found = load(path, spec("predict_proba", trusted=True)).predict({"X": x})["predict_proba"]
    np.testing.assert_array_equal(found, estimator.predict_proba(x))


def test_densities_are_an_output(tmp_path):
    from sklearn.neighbors import KernelDensity

    x = np.random.default_rng(0).normal(size=(20, 4))
    density = KernelDensity().fit(x)
    path = models.save_estimator(density, tmp_path / "model.joblib")
    found = load(path, spec("score_samples", trusted=True)).predict({"X": x})["score_samples"]
    np.testing.assert_array_equal(found, density.score_samples(x))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DBSCAN", r"a DBSCAN, which has none of predict, .*\(fit_predict\): fit an estimator"),
        ("SpectralEmbedding", r"\(fit_transform\): fit an estimator that takes other rows"),
        ("LedoitWolf", "write a class around it for `framework: python`"),
    ],
)
def test_estimators_that_compute_nothing_for_other_rows_are_refused_with_a_way_out(
    name, message, tmp_path
):
    from sklearn import cluster, covariance, manifold

    kind = next(getattr(m, name) for m in (cluster, covariance, manifold) if hasattr(m, name))
    estimator = kind().fit(np.random.default_rng(0).normal(size=(20, 4)))
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    with pytest.raises(LoadError, match=message):
        load(path, spec("predict", trusted=True))


def test_file_of_another_version_is_logged_with_the_models_name(tmp_path, caplog):
    import sklearn

    path = models.sklearn_pickle(tmp_path)
    ours, other = sklearn.__version__.encode(), b"1.0.0"
    assert len(ours) == len(other)
    path.write_bytes(path.read_bytes().replace(ours, other))
    with caplog.at_level(logging.WARNING):
        load(path, spec("predict", name="prices", trusted=True))
    assert "model 'prices': its LinearRegression was saved by scikit-learn 1.0.0" in caplog.text


def jobs_of(servable):
    """The `n_jobs` of the estimator during a call."""
    (jobs,) = set(servable.predict({"X": np.eye(4)})["predict"].tolist())
    return jobs


def test_the_estimators_own_threads_are_bounded_by_those_granted(tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chain = make_pipeline(StandardScaler(), TellsItsJobs(n_jobs=-1)).fit(np.eye(4))
    path = models.save_estimator(chain, tmp_path / "model.joblib")
    assert jobs_of(load(path, spec("predict", trusted=True), threads=1)) == 1


def test_the_estimator_that_a_search_found_is_bounded_too(tmp_path):
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(TellsItsJobs(n_jobs=-1), {"depth": [1, 2]}, cv=2).fit(np.eye(4))
    path = models.save_estimator(search, tmp_path / "model.joblib")
    assert jobs_of(load(path, spec("predict", trusted=True), threads=2)) == 2


def test_calls_side_by_side_take_one_thread_each(tmp_path):
    path = models.save_estimator(TellsItsJobs(n_jobs=-1), tmp_path / "model.joblib")
    context = LoadContext("cpu", intra_op_threads=4, shared=True)
    assert (
        jobs_of(registry.backend("sklearn").load(path, spec("predict", trusted=True), context)) == 1
    )


def scaled_in_place():
    """Its scaler works on its input, as people ask for who save memory."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(20, 5, size=(200, 3))
    return make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(
        x.copy(), x[:, 0] > 20
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_of_one_call_come_from_the_same_values_which_stay_what_they_are(dtype, tmp_path):
    estimator = scaled_in_place()
    path = models.save_estimator(estimator, tmp_path / "model.skops")
    rows = np.array([[20, 1, 2], [25, 1, 2], [15, 3, 4]], dtype)
    found = load(path, spec("predict", "predict_proba")).predict({"X": rows})
    assert rows[:, 0].tolist() == [20, 25, 15]
    np.testing.assert_allclose(
        found["predict_proba"], estimator.predict_proba(rows.copy()), rtol=1e-5
    )
    np.testing.assert_array_equal(found["predict"], estimator.predict(rows.copy()))


def test_output_is_never_the_input_itself(tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    path = models.save_estimator(FunctionTransformer(), tmp_path / "model.skops")
    rows = np.ones((2, 3))
    found = load(path, spec("transform")).predict({"X": rows})["transform"]
    assert not np.shares_memory(found, rows)
    assert found.flags.writeable
