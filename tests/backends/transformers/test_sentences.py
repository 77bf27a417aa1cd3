"""Embeddings as sentence-transformers makes them; the expected values are computed by hand.

The same folders, written and encoded by sentence-transformers 5.7 itself, gave the same vectors.
"""

import json

import numpy as np
import pytest

from pipeline.errors import LoadError, UntrustedArtifactError
from tests.support import models
from tests.support.specs import load, model_spec

TEXTS = np.array(["good film", "very bad films bad", "Good", "good bad " * 6], dtype=object)
PLACE = "sentence_transformers.models."


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return models.bert_embedder(tmp_path_factory.mktemp("base"))


@pytest.fixture
def folder(base, tmp_path):
    """A folder of sentence-transformers: mean of the tokens, 6 of them at most, normalised."""
    for file in base.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write(tmp_path / "sentence_bert_config.json", {"max_seq_length": 6, "do_lower_case": False})
    write(tmp_path / "1_Pooling/config.json", {"pooling_mode": "mean", "embedding_dimension": 16})
    list_modules(tmp_path, ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_N"))
    return tmp_path


def write(file, content):
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def list_modules(folder, *modules):
    listed = [
        {"idx": i, "path": path, "type": PLACE + kind} for i, (kind, path) in enumerate(modules)
    ]
    write(folder / "modules.json", listed)


def embed(folder, texts=TEXTS, **keys):
    entry = {"inputs": {"text": "t"}, "outputs": {"embedding": "e"}, **keys}
    spec = model_spec(framework="transformers", task="sentence-embedding", **entry)
    return load(folder, spec).predict({"text": texts})["embedding"]


def states(folder, text, most):
    """The states of a text's tokens, computed alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(
        text, truncation=True, max_length=most, return_tensors="pt"
    )
    with torch.no_grad():
        return AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0].numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_vectors_follow_pooling_length_and_normalisation_of_the_folder(folder):
    expected = [unit(states(folder, text, 6).mean(0)) for text in TEXTS]
    np.testing.assert_allclose(embed(folder), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "pooled"),
    [
        ("cls", lambda s: s[0]),
        ("max", lambda s: s.max(0)),
        ("mean_sqrt_len_tokens", lambda s: s.sum(0) / np.sqrt(len(s))),
        ("weightedmean", lambda s: np.average(s, axis=0, weights=np.arange(1, len(s) + 1))),
        ("lasttoken", lambda s: s[-1]),
        (["mean", "cls"], lambda s: np.concatenate([s.mean(0), s[0]])),
    ],
    ids=["cls", "max", "root", "weighted", "last", "two"],
)
def test_every_pooling_mode_gives_a_row_what_it_gives_it_alone(mode, pooled, folder):
    write(folder / "1_Pooling/config.json", {"pooling_mode": mode, "embedding_dimension": 16})
    list_modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"))
    expected = [pooled(states(folder, text, 6)) for text in TEXTS]
    np.testing.assert_allclose(embed(folder), expected, atol=1e-5)


def test_pooling_of_older_files_is_read(folder):
    write(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": 16, "pooling_mode_cls_token": True},
    )
    expected = [unit(states(folder, text, 6)[0]) for text in TEXTS]
    np.testing.assert_allclose(embed(folder), expected, atol=1e-5)


def test_linear_layers_and_layer_norms_are_applied(folder):
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    linear, norm = torch.nn.Linear(16, 5), torch.nn.LayerNorm(5)
    for name, prefix, layer in (("2_Dense", "linear.", linear), ("3_Norm", "norm.", norm)):
        (folder / name).mkdir()
        weights = {prefix + key: tensor for key, tensor in layer.state_dict().items()}
        save_file(weights, folder / name / "model.safetensors")
    write(folder / "2_Dense/config.json", {"in_features": 16, "out_features": 5, "bias": True})
    write(folder / "3_Norm/config.json", {"dimension": 5})
    names = ("2_Dense", "3_Norm")
    list_modules(
        folder,
        ("Transformer", ""),
        ("Pooling", "1_Pooling"),
        *zip(("Dense", "LayerNorm"), names, strict=True),
    )
    means = torch.tensor(np.stack([states(folder, text, 6).mean(0) for text in TEXTS]))
    with torch.no_grad():
        expected = norm(linear(means).tanh()).numpy()
    np.testing.assert_allclose(embed(folder), expected, atol=1e-5)


def test_prompts_of_the_folder_are_put_before_the_texts(folder):
    prompts = {"query": "very ", "passage": "bad "}
    write(
        folder / "config_sentence_transformers.json",
        {"prompts": prompts, "default_prompt_name": "query"},
    )
    by_default = [unit(states(folder, "very " + text, 6).mean(0)) for text in TEXTS]
    np.testing.assert_allclose(embed(folder), by_default, atol=1e-5)
    named = [unit(states(folder, "bad " + text, 6).mean(0)) for text in TEXTS]
    np.testing.assert_allclose(embed(folder, prompt="passage"), named, atol=1e-5)
    with pytest.raises(LoadError, match="no prompt 'clue'; its prompts are query, passage"):
        embed(folder, prompt="clue")
    write(
        folder / "1_Pooling/config.json",
        {"pooling_mode": "mean", "embedding_dimension": 16, "include_prompt": False},
    )
    without = [unit(states(folder, "very " + text, 6)[2:].mean(0)) for text in TEXTS]
    np.testing.assert_allclose(embed(folder), without, atol=1e-5)


def test_max_length_of_the_entry_comes_before_that_of_the_folder(folder):
    expected = [unit(states(folder, text, 4).mean(0)) for text in TEXTS]
    np.testing.assert_allclose(embed(folder, max_length=4), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        ((("Transformer", ""), ("WordWeights", "1_W")), "models.WordWeights', expected Transf"),
        ((("Transformer", ""), ("Normalize", "1_N")), "found the modules Transformer, Normalize"),
        ((("Transformer", "0_T"), ("Pooling", "1_Pooling")), "Transformer in the folder '0_T'"),
        ((("Transformer", ""), ("Pooling", "../1_P")), r"found the folder '\.\./1_P'"),
    ],
)
def test_modules_that_are_not_known_here_are_refused_by_name(modules, told, folder):
    list_modules(folder, *modules)
    with pytest.raises(LoadError, match=told):
        embed(folder)


def test_pickled_weights_of_a_layer_are_refused_with_the_way_out(folder):
    write(folder / "2_Dense/config.json", {"in_features": 16, "out_features": 5})
    (folder / "2_Dense/pytorch_model.bin").write_bytes(b"x")
    list_modules(folder, ("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"))
    with pytest.raises(UntrustedArtifactError, match=r"2_Dense has its .* a pickle.*save it again"):
        embed(folder)


def test_folder_without_modules_is_refused(base):
    with pytest.raises(LoadError, match=r"has no modules\.json.*use `task: feature-extraction`"):
        embed(base)


def test_init_chooses_the_task_by_modules_json(folder):
    from pipeline.drafting.description import description_of

    described = description_of("transformers", folder)
    assert described.keys == {"task": "sentence-embedding"}
    assert described.key_notes == {"task": "by modules.json"}
    assert described.outputs[0].row_shape == (16,)


OF_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}


def test_keys_that_newer_versions_write_of_the_network_are_known(folder):
    expected = embed(folder)
    said = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    write(
        folder / "sentence_bert_config.json",
        {"max_seq_length": 6, **said, "modality_config": {"text": OF_TEXT}},
    )
    np.testing.assert_array_equal(embed(folder), expected)


@pytest.mark.parametrize(
    "keys",
    [
        {"transformer_task": "text-generation"},
        {"module_output_name": "sentence_embedding"},
        {"modality_config": {"text": {"method": "get_text_features"}}},
        {"modality_config": {"image": OF_TEXT}},
        {"processing_kwargs": {"text": {"padding": "max_length"}}},
    ],
    ids=str,
)
def test_network_that_is_called_in_another_way_is_refused(keys, folder):
    write(folder / "sentence_bert_config.json", keys)
    with pytest.raises(
        LoadError, match=rf"bert_config\.json: found `{next(iter(keys))}: .*, expec"
    ):
        embed(folder)
