"""A vectoriser's rows stay sparse up to the estimator that reads them, and no result changes."""

import numpy as np
import pytest

from pipeline.batch.batch import Batch
from pipeline.batch.sparse import Sparse
from pipeline.errors import ModelFaultError
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from tests.support import models
from tests.support.specs import load, model_spec

TEXTS = ["good film", "bad film", "good good", "", "no word that is known: añb", "bad"] * 4
TARGET = [1, 0, 1, 0, 0, 0] * 4


def vectoriser():
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer().fit(TEXTS)


def linear():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def naive():
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB()  # takes no sparse rows


def boosted():
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=3, n_jobs=1)  # takes the zeros for missing, if sparse


def entry(name, inputs, outputs, **more):
    return {
        "name": name,
        "framework": "sklearn",
        "uri": f"{name}.joblib",
        "trusted": True,
        "inputs": inputs,
        "outputs": outputs,
        **more,
    }


VECTORISER = entry("v", {"X": "text"}, {"transform": "words"})


def servable(estimator, folder, entry):
    path = models.save_estimator(estimator, folder / entry["uri"])
    return load(path, model_spec(**entry))


def batch():
    column = np.array(TEXTS, dtype=object)
    return Batch(tuple(TEXTS), tuple(text.encode() for text in TEXTS), {"text": column})


def boosted_inside():
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(boosted(), cv=2)


@pytest.mark.parametrize(
    "kind", [linear, naive, boosted, boosted_inside], ids=lambda kind: kind.__name__
)
def test_estimator_behind_a_vectoriser_says_what_it_says_of_the_array(tmp_path, kind):
    words = vectoriser()
    dense = words.transform(TEXTS).toarray()
    estimator = kind().fit(dense, TARGET)
    first = ModelStep(model_spec(**VECTORISER), sparse={"words"})
    made = first.run(batch(), servable(words, tmp_path, VECTORISER))
    assert isinstance(made.columns["words"], Sparse)
    reader = entry("c", {"X": "words"}, {"predict_proba": "proba"})
    step = ModelStep(model_spec(**reader), call_rows=5)
    done = step.run(made, servable(estimator, tmp_path, reader))
    assert done.rejects == ()
    expected = estimator.predict_proba(dense)
    np.testing.assert_allclose(done.columns["proba"], expected, rtol=1e-6)


def test_rows_are_arrays_where_the_column_may_not_stay_sparse(tmp_path):
    words = vectoriser()
    step = ModelStep(model_spec(**VECTORISER), sparse=())
    made = step.run(batch(), servable(words, tmp_path, VECTORISER)).columns["words"]
    assert isinstance(made, np.ndarray)
    np.testing.assert_array_equal(made, words.transform(TEXTS).toarray())


def test_rows_of_a_million_places_stay_sparse_or_are_a_fault(tmp_path):
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer()
    estimator = linear().fit(hashing.transform(TEXTS), TARGET)
    loaded = servable(hashing, tmp_path, VECTORISER)
    made = ModelStep(model_spec(**VECTORISER), sparse={"words"}).run(batch(), loaded)
    assert made.nbytes < 100_000
    reader = entry("c", {"X": "words"}, {"predict": "label"})
    done = ModelStep(model_spec(**reader)).run(made, servable(estimator, tmp_path, reader))
    expected = estimator.predict(hashing.transform(TEXTS))
    assert done.columns["label"].tolist() == expected.tolist()
    refused = ModelStep(model_spec(**VECTORISER), sparse=()).run(batch(), loaded)
    assert len(refused) == 0
    assert "only estimators of scikit-learn" in refused.rejects[0].error_message


def test_writing_to_its_rows_changes_no_other_readers(tmp_path):
    from sklearn.preprocessing import MaxAbsScaler, normalize

    words = vectoriser()
    column = (
        ModelStep(model_spec(**VECTORISER))
        .run(batch(), servable(words, tmp_path, VECTORISER))
        .columns["words"]
    )
    before = np.array(column)
    reader = entry("n", {"X": "words"}, {"transform": "scaled"})
    scaler = MaxAbsScaler(copy=False).fit(words.transform(TEXTS) * 3)
    servable(scaler, tmp_path, reader).predict({"X": column})
    np.testing.assert_array_equal(np.asarray(column), before)
    np.testing.assert_allclose(before, normalize(before))


def graph(*more, output=("label",), combine=(), prepare=()):
    return resolve(
        EnsembleSpec.model_validate(
            {
                "name": "e",
                "record": {"fields": {"text": {"dtype": "string"}}},
                "prepare": list(prepare),
                "models": [VECTORISER, entry("c", {"X": "words"}, {"predict": "label"}), *more],
                "combine": list(combine),
                "output": list(output),
            }
        )
    )


ONNX = entry("o", {"X": "words"}, {"y": "y"}) | {"framework": "onnx"}
del ONNX["trusted"]


@pytest.mark.parametrize(
    ("ensemble", "kept"),
    [
        (graph(), {"words"}),
        (graph(entry("d", {"X": "words"}, {"predict": "other"})), {"words"}),
        (graph(output=("label", "words")), set()),
        (graph(combine=[{"column": "m", "op": "max", "of": "words"}], output=("m",)), set()),
        (graph(ONNX), set()),
        (graph(entry("l", {"X": ["words", "text"]}, {"predict": "other"})), set()),
    ],
    ids=["one reader", "two", "in the output", "a step", "another framework", "a list"],
)
def test_only_what_estimators_alone_read_stays_sparse(ensemble, kept):
    assert ensemble.sparse == kept


def test_array_protocol_names_the_way_out():
    rows = Sparse(np.ones(1), np.array([5]), np.array([0, 1]), 1 << 20)
    with pytest.raises(ModelFaultError, match="take sparse rows"):
        np.isfinite(rows)


def test_estimator_that_picks_columns_by_name_gets_the_array_with_its_names(tmp_path):
    import pandas
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import StandardScaler

    words = vectoriser()
    frame = pandas.DataFrame(
        words.transform(TEXTS).toarray(), columns=[f"w{i}" for i in range(len(words.vocabulary_))]
    )
    by_name = make_column_transformer((StandardScaler(), ["w1", "w0"]), remainder="drop")
    by_name.fit(frame)
    made = ModelStep(model_spec(**VECTORISER)).run(batch(), servable(words, tmp_path, VECTORISER))
    reader = entry("n", {"X": "words"}, {"transform": "scaled"})
    done = ModelStep(model_spec(**reader)).run(made, servable(by_name, tmp_path, reader))
    np.testing.assert_allclose(done.columns["scaled"], by_name.transform(frame))
