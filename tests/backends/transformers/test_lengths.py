"""Texts that a model takes, and those that are computed together."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.backends.transformers.lengths import limit
from pipeline.errors import LoadError
from tests.support import models, picture_models, text_models
from tests.support.model_folders import alone, change, opened, same_in_company

TEXTS = np.array(["good film", "a very bad red circle", "bad"], dtype=object)


@pytest.mark.parametrize("most", [int(1e30), 1e30, None, -1])
def test_tokenizer_without_a_limit_leaves_it_to_the_model(most, copy, folders):
    path = copy(models.bert_classifier)
    places = json.loads((path / "config.json").read_text())["max_position_embeddings"]
    change(path / "tokenizer_config.json", model_max_length=most)
    texts = np.array(["good film", "good " * 200], dtype=object)
    expected = opened(folders(models.bert_classifier), max_length=places)
    np.testing.assert_allclose(
        opened(path).predict({"text": texts})["logits"],
        expected.predict({"text": texts})["logits"],
        atol=1e-5,
    )


def test_length_for_which_a_model_has_no_places_is_refused(folders):
    with pytest.raises(LoadError, match=r"takes \d+ tokens, found `max_length: 4000`"):
        opened(folders(models.bert_classifier), max_length=4000)


@pytest.mark.parametrize(
    ("name", "places", "more"),
    [
        ("Bert", 40, {}),
        ("Roberta", 38, {}),  # the first places are those of padding
        ("IBert", 38, {}),  # with a table of its own class
        (
            "FSMT",
            40,
            {"src_vocab_size": 9, "tgt_vocab_size": 9, "langs": ["en", "de"], "d_model": 16},
        ),
        ("M2M100", 40, {"d_model": 16}),  # makes its table larger
    ],
)
def test_most_tokens_are_those_that_have_a_place(name, places, more):
    import torch
    import transformers

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    if more:
        small = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, **more}
    config = getattr(transformers, f"{name}Config")(
        vocab_size=9, max_position_embeddings=40, pad_token_id=1, num_attention_heads=2, **small
    )
    network = getattr(transformers, f"{name}Model")(config).eval()
    assert limit(SimpleNamespace(model_max_length=None), network) == places
    tokens = {"input_ids": torch.full((1, places), 5)}
    if more:
        tokens["decoder_input_ids"] = tokens["input_ids"]
    assert network(**tokens).last_hidden_state.shape[:2] == (1, places)


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_are_cut_at_the_side_that_the_tokenizer_names(side, copy):
    path = change(
        copy(models.bert_classifier) / "tokenizer_config.json",
        truncation_side=side,
        model_max_length=4,
    )
    long, kept = ("bad bad good film", "good film" if side == "left" else "bad bad")
    cut, whole = opened(path).predict({"text": np.array([long, kept], dtype=object)})["logits"]
    np.testing.assert_allclose(cut, whole, atol=1e-5)


@pytest.mark.parametrize("known", [None, 0], ids=["model without", "model with"])
@pytest.mark.parametrize("pad_token", [None, "<pad>"], ids=["tokenizer without", "tokenizer with"])
def test_decoder_that_classifies_takes_any_rows_whoever_knows_padding(known, pad_token, tmp_path):
    import torch
    import transformers

    torch.manual_seed(1)
    tokenizer = picture_models.byte_level_tokenizer(model_max_length=64, pad_token=pad_token)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, num_labels=3, pad_token_id=known
    )
    text_models.saved(tmp_path, transformers.GPT2ForSequenceClassification(config), tokenizer)
    texts = np.array([*TEXTS, *TEXTS[::-1]], dtype=object)
    found = same_in_company(opened(tmp_path), texts)
    judge = transformers.pipeline("text-classification", str(tmp_path), device="cpu")
    for text, row in zip(texts, found, strict=True):
        assert judge(text)[0]["label"] == f"LABEL_{row.argmax()}"


MIXED = np.array(["a " * n for n in (1, 12, 2, 7, 1)], dtype=object)


@pytest.mark.parametrize(
    ("name", "keys", "padded"),
    [
        ("Bert", {}, True),
        ("ConvBert", {"embedding_size": 16}, False),  # sees neighbours, padding too
        ("FNet", {}, False),  # mixes all tokens
    ],
)
def test_rows_are_filled_up_only_where_the_model_leaves_padding_out(name, keys, padded, tmp_path):
    import torch
    import transformers
    from torch.nn.modules.module import register_module_forward_pre_hook

    torch.manual_seed(1)
    tokenizer = picture_models.word_piece_tokenizer()
    if name == "FNet":
        tokenizer.model_input_names = ["input_ids", "token_type_ids"]
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.5,
        **keys,
    )
    network = getattr(transformers, f"{name}ForSequenceClassification")(config)
    servable = opened(text_models.saved(tmp_path, network, tokenizer))
    calls = []
    with register_module_forward_pre_hook(
        lambda module, _: calls.append(1) if type(module) is type(network) else None
    ):
        servable.predict({"text": MIXED})
    assert len(calls) == (1 if padded else 4)
    same_in_company(servable, MIXED)


@pytest.mark.parametrize("made_up", ["seen", "ends only", "nothing"])
def test_padding_is_tried_beyond_what_a_model_sees_at_once_or_left(made_up, tmp_path):
    import torch
    import transformers
    from tokenizers import Regex, normalizers, processors

    torch.manual_seed(1)
    tokenizer = picture_models.byte_level_tokenizer(model_max_length=96, pad_token="<pad>")
    if made_up != "seen":
        tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("[a ]"), "")
        if made_up == "nothing":
            tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
        assert len(tokenizer("a a a")["input_ids"]) == (0 if made_up == "nothing" else 2)
    config = transformers.ReformerConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_attention_heads=2,
        attention_head_size=8,
        feed_forward_size=16,
        attn_layers=["local", "local"],
        local_attn_chunk_length=32,
        axial_pos_embds=False,
        max_position_embeddings=96,
        initializer_range=0.5,
        num_labels=3,
    )
    network = transformers.ReformerForSequenceClassification(config)
    path = text_models.saved(tmp_path, network, tokenizer)
    texts = np.array(["bd " * n for n in (3, 15, 22, 30, 45)], dtype=object)
    same_in_company(opened(path), texts)


def test_answer_of_the_last_place_is_never_that_of_padding(tmp_path):
    import torch
    import transformers

    torch.manual_seed(1)
    tokenizer = text_models.unigram_tokenizer(model_max_length=48)
    config = transformers.XLNetConfig(
        vocab_size=len(tokenizer), d_model=16, n_layer=1, n_head=2, d_inner=16, num_labels=3
    )
    text_models.saved(tmp_path, transformers.XLNetForSequenceClassification(config), tokenizer)
    same_in_company(opened(tmp_path), TEXTS)


def llama(folder, **keys):
    """A decoder that may count places in another way from the 25th token on."""
    import torch
    import transformers

    torch.manual_seed(1)
    tokenizer = picture_models.byte_level_tokenizer(model_max_length=400, pad_token="<pad>")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=16,
        initializer_range=0.5,
        **{"max_position_embeddings": 200, **keys},
    )
    return text_models.saved(folder, transformers.LlamaForCausalLM(config), tokenizer)


LONG_AND_SHORT = np.array(["ab " * n for n in (1, 30, 5, 6, 30, 1)], dtype=object)


def test_long_rows_do_not_change_how_others_count_places(tmp_path):
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 24, "factor": 8.0}
    rope |= {"rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [6.0] * 4}
    path = llama(tmp_path, rope_parameters=rope)
    same_in_company(opened(path, "feature-extraction", "embedding"), LONG_AND_SHORT, "embedding")
    writes = opened(path, "text-generation", "text", max_new_tokens=8)
    found = writes.predict({"text": LONG_AND_SHORT})["text"].tolist()
    assert found == alone(writes, LONG_AND_SHORT, "text").tolist()


def test_places_that_are_counted_by_the_longest_row_are_refused_for_longer_texts(tmp_path):
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    path = llama(tmp_path, rope_parameters=rope, max_position_embeddings=24)
    with pytest.raises(LoadError, match=r"`rope_type: dynamic`.* 24 .* 200, .*`max_length: 24`"):
        opened(path, "feature-extraction", "embedding", max_length=200)
    same_in_company(opened(path, "feature-extraction", "embedding"), LONG_AND_SHORT, "embedding")
    assert opened(path, "text-generation", "text", max_new_tokens=8)


def test_attention_that_a_model_leaves_for_good_is_refused_for_longer_texts(tmp_path):
    import transformers

    tokenizer = picture_models.word_piece_tokenizer()
    tokenizer.model_max_length = 200
    config = transformers.BigBirdConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        block_size=4,
        num_random_blocks=1,
    )
    network = transformers.BigBirdForSequenceClassification(config)
    path = text_models.saved(tmp_path, network, tokenizer)
    with pytest.raises(LoadError, match=r"at most 28 tokens.*`original_full`.*`max_length: 28`"):
        opened(path)
    same_in_company(opened(path, max_length=28), MIXED)
    assert opened(change(path / "config.json", attention_type="original_full"))
