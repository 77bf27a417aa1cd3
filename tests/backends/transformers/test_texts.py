"""Texts of a call, padded with texts of about their length; texts that are too long."""

import json

import numpy as np
import pytest

from pipeline.backends.base import CUT_TEXTS
from pipeline.backends.transformers.lengths import groups_by_length
from pipeline.batch.batch import Batch
from pipeline.serving.step.model_step import ModelStep
from tests.support import models, text_models
from tests.support.specs import load, model_spec


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return models.bert_classifier(tmp_path_factory.mktemp("bert"))


def spec(**keys):
    entry = {"task": "text-classification", "inputs": {"text": "t"}, "outputs": {"logits": "l"}}
    return model_spec(framework="transformers", **{**entry, **keys})


@pytest.mark.parametrize("seed", range(5))
def test_each_row_is_in_one_group_and_no_group_has_too_much_padding(seed):
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.lognormal(3.5, 1, 60).astype(int) + 1, 400).tolist()
    groups = groups_by_length(lengths, spare=100, most=16)
    assert sorted(np.concatenate(groups).tolist()) == list(range(60))
    for group in groups:
        found = [lengths[i] for i in group]
        assert max(found) * len(found) - sum(found) <= 100
        assert len(found) <= 16


def test_without_spare_padding_only_rows_of_one_length_are_together():
    groups = groups_by_length([3, 1, 3, 1, 2], spare=0)
    assert [group.tolist() for group in groups] == [[1, 3], [4], [0, 2]]


def test_rows_of_very_different_lengths_come_back_in_their_order(bert, monkeypatch):
    monkeypatch.setattr("pipeline.backends.transformers.tasks.texts._CALL_TOKENS", 3)
    servable = load(bert, spec())
    texts = np.array(["good " * n for n in (9, 1, 5, 2, 9, 0, 4)], dtype=object)
    alone = [servable.predict({"text": texts[i : i + 1]})["logits"][0] for i in range(len(texts))]
    np.testing.assert_allclose(servable.predict({"text": texts})["logits"], alone, atol=1e-5)


def test_texts_that_are_too_long_are_refused_where_they_are_not_to_be_cut(bert):
    servable = load(bert, spec(truncation="error"))
    texts = np.array(["good film", "good " * 20], dtype=object)
    assert servable.predict({"text": texts[:1]})["logits"].shape == (1, 3)
    with pytest.raises(ValueError, match=r"has 22 tokens, and the model takes 12"):
        servable.predict({"text": texts})


def test_key_that_the_task_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(
        ValueError, match=r"'multi_label' has no use with `task: text-class.* has max_l"
    ):
        spec(multi_label=True)
    with pytest.raises(
        ValueError, match=r"'max_length' has no use .* which has no keys of its own"
    ):
        spec(task="image-segmentation", max_length=3)


def roberta_without_limit(folder):
    """A tokenizer that says no limit and puts nothing around a text; one place is of padding."""
    text_models.roberta(folder, "RobertaModel")
    changes = {"tokenizer_config.json": {"model_max_length": int(1e30)}}
    changes["tokenizer.json"] = {"post_processor": None}
    for name, keys in changes.items():
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **keys}))
    return folder


def test_text_that_is_longer_than_the_places_of_its_tokens_is_cut(tmp_path):
    entry = {"task": "feature-extraction", "outputs": {"cls": "c"}}
    servable = load(roberta_without_limit(tmp_path), spec(**entry))
    texts = np.array(["good " * n for n in (2, 24, 25, 90)], dtype=object)
    found = servable.predict({"text": texts})["cls"]
    alone = [servable.predict({"text": texts[i : i + 1]})["cls"][0] for i in range(len(texts))]
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_text_without_tokens_is_refused_in_any_company(tmp_path):
    entry = {"task": "feature-extraction", "outputs": {"embedding": "e"}}
    servable = load(roberta_without_limit(tmp_path), spec(**entry))
    for texts in ([""], ["", "good film"]):
        with pytest.raises(ValueError, match="the text has no tokens"):
            servable.predict({"text": np.array(texts, dtype=object)})


LONG = ["good film", "good " * 20, "good " * 10, "good " * 11, ""]  # 12 tokens at most, 2 of them


def cut(path, spec, columns):
    """Which texts a model says that it cut; a step counts as many."""
    arrays = {name: np.array(column, dtype=object) for name, column in columns.items()}
    records = Batch(ids=tuple(range(5)), payloads=(b"",) * 5, columns=arrays)
    step, servable = ModelStep(spec), load(path, spec)
    done = step.run(records, servable)
    assert not done.rejects
    assert [*done.columns] == [*arrays, *spec.outputs.values()]
    inputs = {tensor: arrays[bound.column] for tensor, bound in spec.column_inputs.items()}
    constants = {t: b.array() for t, b in spec.inputs.items() if t not in inputs}
    flags = servable.predict({**inputs, **constants})[CUT_TEXTS]
    assert flags.sum() == step.cut_texts
    step.run(records.take(np.array([0])), servable)
    assert step.cut_texts == 0
    return flags.tolist()


def test_texts_that_are_cut_are_counted(bert):
    assert cut(bert, spec(), {"t": LONG}) == [False, True, False, True, False]
    assert cut(bert, spec(max_length=4), {"t": LONG}) == [False, True, True, True, False]


def test_text_that_is_cut_with_one_of_its_labels_is_counted_once(tmp_path):
    labels = {"0": "contradiction", "1": "neutral", "2": "entailment"}
    path = text_models.bert(tmp_path, "BertForSequenceClassification", id2label=labels)
    sides = {"value": ["red", "a photo of the blue square"], "dtype": "string"}
    keys = {
        "task": "zero-shot-classification",
        "inputs": {"text": "t", "labels": sides},
        "outputs": {"label": "l"},
        "hypothesis_template": "{}",
    }
    texts = ["red", "red " * 40, "red " * 15, "", "red " * 19]
    assert cut(path, spec(**keys), {"t": texts}) == [False, True, True, False, True]


def test_texts_that_are_cut_are_counted_where_the_tokenizer_is_not_fast(bert, monkeypatch):
    """Those are written in Python, and say nothing of what they leave out."""
    from transformers import BatchEncoding

    monkeypatch.setattr(BatchEncoding, "encodings", property(lambda self: None))
    assert cut(bert, spec(), {"t": LONG}) == [False, True, False, True, False]


def test_prompts_that_are_cut_are_counted(tmp_path):
    keys = {"task": "text-generation", "outputs": {"text": "o"}, "max_new_tokens": 4}
    texts = ["red", "a photo " * 40, "", "red", "blue " * 90]
    found = cut(text_models.gpt2(tmp_path), spec(**keys), {"t": texts})
    assert found == [False, True, False, False, True]
