import json
import socket

import numpy as np
import pytest

from pipeline.errors import LoadError, UntrustedArtifactError
from tests.support import models
from tests.support.specs import load, model_spec

TEXTS = np.array(["good film", "very bad films", ""], dtype=object)


def spec(task, *outputs, **changes):
    name = "image" if task.startswith("image") else "text"
    entry = {"inputs": {name: "column"}, "outputs": {output: output for output in outputs}}
    return model_spec(framework="transformers", task=task, **{**entry, **changes})


def classify(path, texts=TEXTS, *outputs, **changes):
    servable = load(path, spec("text-classification", *(outputs or ("label",)), **changes))
    return servable.predict({"text": texts})


def test_labels_and_probabilities_are_those_of_transformers(tmp_path):
    from transformers import pipeline

    path = models.bert_classifier(tmp_path)
    found = classify(path, TEXTS, "label", "probs")
    expected = pipeline("text-classification", str(path))(TEXTS.tolist())
    assert found["label"].tolist() == [entry["label"] for entry in expected]
    assert all(type(label) is str for label in found["label"])
    np.testing.assert_allclose(
        found["probs"].max(axis=1), [entry["score"] for entry in expected], rtol=1e-5
    )


def test_several_labels_at_once_have_independent_probabilities(tmp_path):
    path = models.bert_classifier(tmp_path, problem_type="multi_label_classification")
    found = classify(path, TEXTS, "logits", "probs")
    np.testing.assert_allclose(found["probs"], 1 / (1 + np.exp(-found["logits"])), rtol=1e-5)


def test_pairs_of_texts_are_classified_together(tmp_path):
    from transformers import pipeline

    path = models.bert_classifier(tmp_path)
    inputs = {"text": "question", "text_pair": "answer"}
    servable = load(path, spec("text-classification", "probs", inputs=inputs))
    texts = TEXTS[:2]
    found = servable.predict({"text": texts, "text_pair": texts[::-1]})["probs"]
    pairs = [{"text": a, "text_pair": b} for a, b in zip(texts, texts[::-1], strict=True)]
    expected = [entry["score"] for entry in pipeline("text-classification", str(path))(pairs)]
    np.testing.assert_allclose(found.max(axis=1), expected, rtol=1e-5)


def test_cls_is_the_state_of_the_first_token(tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    path = models.bert_embedder(tmp_path)
    found = load(path, spec("feature-extraction", "cls")).predict({"text": TEXTS})["cls"]
    tokens = AutoTokenizer.from_pretrained(path)(TEXTS[1], return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(path)(**tokens).last_hidden_state[0, 0]
    np.testing.assert_allclose(found[1], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_texts_are_cut_to_max_length(tmp_path):
    path = models.bert_embedder(tmp_path)
    texts = np.array(["good film", "good film bad bad"], dtype=object)
    cut = load(path, spec("feature-extraction", "embedding", max_length=4))
    found = cut.predict({"text": texts})["embedding"]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)  # [CLS] good film [SEP]


def test_text_in_bytes_is_read_as_utf8(tmp_path):
    path = models.bert_classifier(tmp_path)
    as_bytes = np.array([text.encode() for text in TEXTS], dtype=object)
    np.testing.assert_array_equal(
        classify(path, as_bytes, "logits")["logits"], classify(path, TEXTS, "logits")["logits"]
    )


def test_images_are_classified_as_transformers_does(tmp_path):
    from PIL import Image
    from transformers import pipeline

    path = models.vit_classifier(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 14, 3), dtype="uint8")
    servable = load(path, spec("image-classification", "label", "probs"))
    found = servable.predict({"image": images})
    expected = pipeline("image-classification", str(path))([Image.fromarray(i) for i in images])
    assert found["label"].tolist() == [entry[0]["label"] for entry in expected]
    np.testing.assert_allclose(
        found["probs"].max(axis=1), [entry[0]["score"] for entry in expected], rtol=1e-5
    )


def test_weights_of_half_precision_are_float32_columns(tmp_path):
    import torch
    from transformers import AutoModel

    path = models.bert_embedder(tmp_path / "whole")
    half = tmp_path / "half"
    models.bert_embedder(half)
    AutoModel.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(half)
    found = load(half, spec("feature-extraction", "embedding")).predict({"text": TEXTS})
    whole = load(path, spec("feature-extraction", "embedding")).predict({"text": TEXTS})
    assert found["embedding"].dtype == np.float32
    np.testing.assert_allclose(found["embedding"], whole["embedding"], atol=0.1)


def test_model_without_the_weights_of_the_task_is_refused(tmp_path):
    """transformers itself would make up random ones."""
    path = models.bert_embedder(tmp_path)
    with pytest.raises(LoadError, match=r"lacks weights .*: classifier\.bias, classifier\.w"):
        classify(path)


def test_head_of_another_size_is_refused(tmp_path):
    path = models.bert_classifier(tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["id2label"] = {"0": "up", "1": "down"}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError, match="classifier"):
        classify(path)


def test_embeddings_need_no_pooler(tmp_path):
    path = models.bert_classifier(tmp_path)
    assert load(path, spec("feature-extraction", "embedding")).predict({"text": TEXTS})


def test_pickled_weights_are_refused_with_the_way_out(tmp_path):
    path = models.bert_classifier(tmp_path)
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(
        UntrustedArtifactError,
        match=r"pytorch_model\.bin, a pickle.*pipeline safetensors.*save_pre",
    ):
        classify(path)


def test_code_that_a_model_brings_is_never_run(tmp_path):
    path, marker = models.bert_classifier(tmp_path / "model"), tmp_path / "ran"
    (path / "own.py").write_text(f"open({str(marker)!r}, 'w')\n")
    config = json.loads((path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UntrustedArtifactError, match=r"`auto_map` in config\.json.*never run"):
        classify(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("tokenizer_config.json", "gguf_file"),
        ("tokenizer_config.json", "vocab_file"),
        ("special_tokens_map.json", "tokenizer_file"),
        ("special_tokens_map.json", "gguf_file"),
    ],
)
@pytest.mark.parametrize("absolute", [True, False])
def test_tokenizer_that_would_open_files_elsewhere_is_refused(file, key, absolute, tmp_path):
    path, other = models.bert_classifier(tmp_path / "model"), tmp_path / "other.json"
    other.write_text((path / "tokenizer.json").read_text())
    keys = json.loads((path / file).read_text()) if (path / file).exists() else {}
    name = str(other) if absolute else "../other.json"
    (path / file).write_text(json.dumps({**keys, key: name}))
    with pytest.raises(UntrustedArtifactError, match=rf"{file} names the file .*its key '{key}'"):
        classify(path)


def test_paths_that_a_tokenizer_remembers_of_where_it_was_made_are_no_reason(tmp_path):
    path, other = models.bert_classifier(tmp_path / "model"), tmp_path / "other.json"
    other.write_text("{}")
    file = path / "tokenizer_config.json"
    made = {
        "special_tokens_map_file": str(other),
        "tokenizer_file": str(other),
        "name_or_path": str(tmp_path),
        "vocab_file": "/root/.cache/nobody/has/this.txt",
        "merges_file": None,
    }
    file.write_text(json.dumps({**json.loads(file.read_text()), **made}))
    assert classify(path)["label"].shape == (3,)


def test_nothing_is_looked_for_in_the_network(tmp_path, monkeypatch):
    asked = []

    def refuse(self, address):
        asked.append(address)
        raise OSError("no network here")

    def resolve(host, *args, **options):
        asked.append(host)
        raise OSError("no network here")

    text, image = models.bert_classifier(tmp_path / "text"), models.vit_classifier(tmp_path / "i")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert classify(text)["label"].shape == (3,)
    load(image, spec("image-classification", "label"))
    (text / "tokenizer.json").unlink()
    with pytest.raises(LoadError):
        classify(text)
    assert asked == []


def test_missing_tokenizer_is_refused(tmp_path):
    """transformers itself would make up one without words."""
    path = models.bert_classifier(tmp_path)
    (path / "tokenizer.json").unlink()
    with pytest.raises(LoadError, match=r"no file of its tokenizer, expected tokenizer\.json or"):
        classify(path)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("config.json", None, r"expected a folder as save_pretrained writes it: config\.json"),
        ("config.json", "{", r"config\.json is not JSON"),
        ("config.json", '{"model_type": "b"}', "the model_type 'b', which this transformers"),
        ("model.safetensors", None, r"has no \.safetensors file, it holds config\.json, tok"),
    ],
)
def test_file_that_is_missing_or_wrong_is_named(file, content, expected, tmp_path):
    path = models.bert_classifier(tmp_path)
    (path / file).unlink()
    if content is not None:
        (path / file).write_text(content)
    with pytest.raises(LoadError, match=expected) as refusal:
        classify(path)
    assert str(path) in str(refusal.value)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    path = models.bert_classifier(tmp_path) / "model.safetensors"
    with pytest.raises(LoadError, match="it is a file; expected a folder"):
        classify(path)


def test_outputs_of_another_task_are_refused_with_those_that_exist(tmp_path):
    path = models.bert_classifier(tmp_path)
    with pytest.raises(LoadError, match="no output 'label'; its outputs are embedding, cls"):
        load(path, spec("feature-extraction", "label"))


def test_model_is_called_in_inference_mode(tmp_path):
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    modes = set()
    servable = load(models.bert_embedder(tmp_path), spec("feature-extraction", "cls"))
    with register_module_forward_pre_hook(
        lambda *arguments: modes.add(torch.is_inference_mode_enabled())
    ):
        servable.predict({"text": TEXTS})
    assert modes == {True}


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({"weight_map": {"w": "../model.safetensors"}}, r"'\.\./model\.safetensors', expected a"),
        ({"weight_map": {"w": "/srv/model.safetensors"}}, r"'/srv/model\.safetensors', expected"),
        ({"weight_map": {"w": "a/../../m"}}, "'a/../../m', expected a file in its folder"),
        ({"weights": {}}, "is not an index of weights"),
    ],
)
def test_weights_that_lie_outside_the_folder_are_refused(tmp_path, index, expected):
    path = models.bert_classifier(tmp_path)
    (path / "model.safetensors").rename(path / "part.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(LoadError, match=expected):
        load(path, spec("text-classification", "label"))


def test_weights_in_several_files_are_loaded(tmp_path):
    from transformers import AutoModelForSequenceClassification

    path = models.bert_classifier(tmp_path)
    expected = classify(path)["label"].tolist()
    network = AutoModelForSequenceClassification.from_pretrained(path)
    (path / "model.safetensors").unlink()
    network.save_pretrained(path, max_shard_size="5KB")
    assert (path / "model.safetensors.index.json").exists()
    assert classify(path)["label"].tolist() == expected
