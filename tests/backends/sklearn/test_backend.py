import logging

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.multioutput import ClassifierChain

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.backends.sklearn import outputs
from pipeline.errors import LoadError, ModelFaultError, UntrustedArtifactError
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


class OwnChain(ClassifierChain):
    pass


class ListsItsClasses(BaseEstimator):
    """Of one target, or of several if `probabilities` is a list."""

    def __init__(self, classes_, probabilities):
        self.classes_ = classes_
        self.probabilities = probabilities

    def predict(self, rows):
        return np.zeros(len(rows), dtype=int)

    def predict_proba(self, rows):
        if not np.any(rows):
            raise ValueError("zeros are no measurement")
        return self.probabilities


class OnlyProbabilities:
    predict_proba = None


def several_targets(kind):
    from sklearn.ensemble import RandomForestClassifier, StackingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier
    from sklearn.pipeline import make_pipeline

    x = np.random.default_rng(0).normal(size=(20, 4))
    y = np.stack([np.arange(20) % 3, x[:, 1] > 0], axis=1)
    labels = np.stack([np.arange(20) % 2, x[:, 1] > 0], axis=1).astype(int)
    forest = RandomForestClassifier(2)
    estimator = {
        "forest": forest,
        "one each": make_pipeline(MultiOutputClassifier(LogisticRegression())),
        "chain": ClassifierChain(LogisticRegression()),
        "subclass of a chain": OwnChain(LogisticRegression()),
        "stacking": StackingClassifier([("forest", forest)], forest, cv=2),
    }[kind]
    return x, estimator.fit(x, y if kind in ("forest", "one each") else labels)


@pytest.mark.parametrize("kind", ["forest", "one each"])
def test_probabilities_of_several_targets_are_an_output_each(kind, tmp_path):
    x, estimator = several_targets(kind)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    found = load(path, spec("predict_proba.1", "predict_proba.0", trusted=True)).predict({"X": x})
    for place, expected in enumerate(estimator.predict_proba(x)):
        np.testing.assert_array_equal(found[f"predict_proba.{place}"], expected)
    with pytest.raises(LoadError, match=r"its outputs are predict, predict_proba.0, predict_proba"):
        load(path, spec("predict_proba", trusted=True))


@pytest.mark.parametrize("kind", ["chain", "subclass of a chain", "stacking"])
def test_probabilities_of_several_targets_in_one_array_are_one_output(kind, tmp_path):
    x, estimator = several_targets(kind)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    found = load(path, spec("predict_proba", trusted=True)).predict({"X": x})["predict_proba"]
    np.testing.assert_array_equal(found, estimator.predict_proba(x))


def test_chain_inside_of_an_estimator_says_nothing_about_its_probabilities(tmp_path):
    x, estimator = several_targets("forest")
    estimator.made_from = several_targets("chain")[1]
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    found = load(path, spec("predict_proba.0", trusted=True)).predict({"X": x})["predict_proba.0"]
    np.testing.assert_array_equal(found, estimator.predict_proba(x)[0])


@pytest.mark.parametrize("classes", [[0, 1], ["no", "yes"], None])
def test_classes_in_a_plain_list_are_those_of_one_target(classes, tmp_path):
    expected = np.array([[0.25, 0.75]])
    estimator = ListsItsClasses(classes, expected)
    path = models.save_estimator(estimator, tmp_path / "model.joblib")
    model = load(path, spec("predict_proba", "predict", trusted=True))
    assert [tensor.name for tensor in model.signature.outputs] == ["predict", "predict_proba"]
    found = model.predict({"X": np.ones((1, 4))})["predict_proba"]
    np.testing.assert_array_equal(found, expected)


def test_list_of_rows_is_one_output():
    for rows in ([[0.25, 0.75]], [np.array([0.25, 0.75])]):
        np.testing.assert_array_equal(outputs.column("predict_proba", rows), rows)
        (found,) = outputs.output_specs(OnlyProbabilities(), lambda rows=rows: rows)
        assert found.name == "predict_proba"


def test_estimator_that_refuses_a_made_up_row_has_either_form_of_probabilities(tmp_path):
    classes, one = [np.array([0, 1])] * 2, np.array([[0.25, 0.75]])
    for given, right, wrong in (
        (one, "predict_proba", "predict_proba.1"),
        ([one, one], "predict_proba.1", "predict_proba"),
    ):
        estimator = ListsItsClasses(classes, given)
        path = models.save_estimator(estimator, tmp_path / "model.joblib")
        rows = {"X": np.ones((1, 4))}
        found = load(path, spec(right, trusted=True)).predict(rows)[right]
        np.testing.assert_array_equal(found, one)
        with pytest.raises(ModelFaultError, match="which cannot be the column"):
            load(path, spec(wrong, trusted=True)).predict(rows)


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
        ("LocalOutlierFactor", r"is fitted on: fit it with novelty=True$"),
        ("LedoitWolf", "write a class around it for `framework: python`"),
    ],
)
def test_estimators_that_compute_nothing_for_other_rows_are_refused_with_a_way_out(
    name, message, tmp_path
):
    from sklearn import cluster, covariance, manifold, neighbors

    modules = (cluster, covariance, manifold, neighbors)
    kind = next(getattr(module, name) for module in modules if hasattr(module, name))
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
