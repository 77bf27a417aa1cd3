"""Texts of a call, padded with texts of about their length; texts that are too long."""

import numpy as np
import pytest

from pipeline.backends.transformers.tasks.texts import groups_by_length
from tests.support import models
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
        spec(task="image-classification", max_length=3)
