"""Zero-shot classification, as the pipeline of transformers does it on the same rows."""

import numpy as np
import pytest

from pipeline.batch.columns import Ragged
from pipeline.errors import LoadError
from tests.support import models
from tests.support.specs import load, model_spec

TEXTS = np.array(["good film", "bad films", "very good film bad film good film"], dtype=object)
LABELS = ["good", "bad film", "very"]
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}


@pytest.fixture(scope="module")
def nli(tmp_path_factory):
    return models.bert_classifier(
        tmp_path_factory.mktemp("nli"), id2label=NLI, label2id={n: i for i, n in NLI.items()}
    )


@pytest.fixture(scope="module")
def oracle(nli):
    from transformers import pipeline

    return pipeline("zero-shot-classification", str(nli))


def opened(path, labels, **keys):
    entry = {
        "inputs": {"text": "t", "labels": labels},
        "outputs": {name: name for name in ("labels", "scores", "label")},
    }
    return load(
        path, model_spec(framework="transformers", task="zero-shot-classification", **entry, **keys)
    )


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:1]], ids=len)
def test_labels_of_the_file_are_ranked_as_the_pipeline_ranks_them(labels, multi_label, nli, oracle):
    constant = {"value": labels, "dtype": "string"}
    template = "film {}."
    servable = opened(nli, constant, multi_label=multi_label, hypothesis_template=template)
    found = servable.predict({"text": TEXTS, "labels": np.array(labels, dtype=object)})
    for row, text in enumerate(TEXTS):
        expected = oracle(text, labels, multi_label=multi_label, hypothesis_template=template)
        assert found["labels"][row].tolist() == expected["labels"]
        assert found["label"][row] == expected["labels"][0]
        np.testing.assert_allclose(found["scores"][row], expected["scores"], atol=1e-5)
    assert servable.signature.outputs[0].row_shape == (len(labels),)


def test_labels_of_a_column_differ_from_row_to_row(nli, oracle):
    servable = opened(nli, "topics")
    labels = np.array([["good", "bad"], ["very", "film"], ["film", "good"]], dtype=object)
    found = servable.predict({"text": TEXTS, "labels": labels})
    assert isinstance(found["labels"], Ragged)  # other calls have other numbers of labels
    for row, text in enumerate(TEXTS):
        expected = oracle(text, labels[row].tolist())
        assert found["labels"].rows[row].tolist() == expected["labels"]
        np.testing.assert_allclose(found["scores"].rows[row], expected["scores"], atol=1e-5)


def test_row_without_labels_is_refused(nli):
    none = np.empty((1, 0), dtype=object)
    with pytest.raises(ValueError, match=r"found an empty list in 'labels', expected some texts"):
        opened(nli, "topics").predict({"text": TEXTS[:1], "labels": none})
    with pytest.raises(LoadError, match=r"input 'labels' is an empty list"):
        opened(nli, {"value": [], "dtype": "string"})


def test_model_that_knows_no_entailment_is_refused_with_its_classes(tmp_path):
    path = models.bert_classifier(tmp_path)
    with pytest.raises(LoadError, match=r"has the classes .*expected one whose name begins with"):
        opened(path, "topics")


@pytest.mark.parametrize("template", ["It is true.", "About {label}.", "{"])
def test_template_without_a_place_for_the_label_is_refused(template):
    with pytest.raises(ValueError, match=r"expected a sentence with '\{\}' for the label"):
        opened(None, "topics", hypothesis_template=template)
