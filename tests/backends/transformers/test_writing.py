"""Texts that models write, as their own `generate` writes them for each row alone."""

import json

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import picture_models, text_models
from tests.support.specs import load, model_spec

TEXTS = [
    "a photo of a red circle",
    "good",
    "the blue triangle is bad, very bad",
    "two green squares of the right size, and a green triangle on the left",
]
LANGUAGES = {
    "summarization": {"prefix": "good: ", "max_length": 9, "num_beams": 2},
    "translation_en_to_de": {"prefix": "the blue: ", "max_length": 8},
}
OPTIONS = [
    {"max_new_tokens": 7},
    {"max_new_tokens": 6, "num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0},
    {"max_new_tokens": 9, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
]


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return text_models.t5(tmp_path_factory.mktemp("t5"), task_specific_params=LANGUAGES)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return text_models.gpt2(tmp_path_factory.mktemp("gpt2"))


def opened(folder, task, inputs=("text",), **keys):
    entry = {
        "inputs": {name: name for name in inputs},
        "outputs": {"text": "text", "texts": "texts"},
    }
    return load(folder, model_spec(framework="transformers", task=task, **entry, **keys))


def write(folder, task, texts=TEXTS, **keys):
    found = opened(folder, task, **keys).predict({"text": np.array(texts, dtype=object)})
    assert [row[0] for row in found["texts"]] == found["text"].tolist()
    return [row.tolist() for row in found["texts"]]


def alone(kind, folder, prompts, **options):
    """What generate writes for one prompt after the other."""
    import torch
    import transformers

    model = getattr(transformers, kind).from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    written = []
    for prompt in prompts:
        tokens = tokenizer(
            prompt, return_tensors="pt", return_token_type_ids=False, truncation=True
        )
        skip = tokens["input_ids"].shape[1] if kind == "AutoModelForCausalLM" else 0
        if tokens["input_ids"].shape[1] == 0:
            tokens, skip = {}, 1
        if "stop_strings" in options:
            options["tokenizer"] = tokenizer
        with torch.no_grad():
            ids = model.generate(**tokens, **options)
        written.append(tokenizer.batch_decode(ids[:, skip:], skip_special_tokens=True))
    return written


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_encoder_and_a_decoder_write_what_they_write_for_a_row_alone(options, t5):
    found = write(t5, "text2text-generation", **options)
    assert found == alone("AutoModelForSeq2SeqLM", t5, TEXTS, **options)
    assert len({row[0] for row in found}) > 1


def test_prefix_and_options_of_the_folder_are_obeyed_and_the_entry_comes_first(t5):
    prefixed = ["good: " + text for text in TEXTS]
    expected = alone("AutoModelForSeq2SeqLM", t5, prefixed, max_length=9, num_beams=2)
    assert write(t5, "summarization") == expected
    own = ["a photo " + text for text in TEXTS]
    expected = alone("AutoModelForSeq2SeqLM", t5, own, max_length=9, num_beams=3)
    assert write(t5, "summarization", prefix="a photo ", num_beams=3) == expected


def test_languages_choose_the_prefix(t5):
    found = write(t5, "translation", source_language="en", target_language="de")
    prefixed = ["the blue: " + text for text in TEXTS]
    assert found == alone("AutoModelForSeq2SeqLM", t5, prefixed, max_length=8)
    with pytest.raises(
        LoadError, match=r"no 'translation_en_to_fr' .* it has translation_en_to_de"
    ):
        write(t5, "translation", source_language="en", target_language="fr")


def test_languages_of_a_model_for_many_are_its_first_tokens(tmp_path):
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    path = text_models.nllb(tmp_path)
    keys = {"source_language": "fra_Latn", "max_new_tokens": 7}
    found = {
        target: write(path, "translation", target_language=target, **keys)
        for target in ("deu_Latn", "zul_Latn")
    }
    tokenizer = AutoTokenizer.from_pretrained(path, src_lang="fra_Latn")
    model = AutoModelForSeq2SeqLM.from_pretrained(path)
    for target, rows in found.items():
        first = tokenizer.convert_tokens_to_ids(target)
        for text, row in zip(TEXTS, rows, strict=True):
            tokens = tokenizer(text, return_tensors="pt")
            with torch.no_grad():
                ids = model.generate(**tokens, forced_bos_token_id=first, max_new_tokens=7)
            assert row == tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert found["deu_Latn"] != found["zul_Latn"]
    with pytest.raises(LoadError, match="expected the keys `source_language` and `target_lang"):
        write(path, "translation")
    with pytest.raises(LoadError, match="has no language 'de'; it has "):
        write(path, "translation", target_language="de", **keys)


def test_tokenizers_of_sentencepiece_translate(tmp_path):
    path = text_models.marian(tmp_path)
    long = [*TEXTS, "a photo of the blue circle " * 10]
    found = write(path, "translation", long, max_new_tokens=7)
    assert found == alone("AutoModelForSeq2SeqLM", path, long, max_new_tokens=7)
    assert len({row[0] for row in found}) > 1


def test_missing_sentencepiece_is_told_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    """Here it is there, so that transformers' own error is made up."""
    from transformers import AutoTokenizer

    def fail(*args, **keys):
        raise ImportError("MarianTokenizer requires the SentencePiece library but it was not found")

    path = text_models.t5(tmp_path)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(LoadError, match=r"the package 'sentencepiece' is .*EXTRAS=transformers"):
        opened(path, "text2text-generation")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_decoder_goes_on_as_it_does_for_a_row_alone(options, gpt2):
    rows = [*TEXTS, ""]
    found = write(gpt2, "text-generation", rows, **options)
    assert found == alone("AutoModelForCausalLM", gpt2, rows, **options)
    assert len({row[0] for row in found}) > 1


def test_text_generation_is_that_of_the_pipeline(gpt2):
    from transformers import pipeline

    run = pipeline("text-generation", str(gpt2))
    options = {"max_new_tokens": 7, "do_sample": False, "return_full_text": False}
    expected = [run(text, **options)[0] for text in TEXTS]
    found = write(gpt2, "text-generation", max_new_tokens=7)
    assert [row[0] for row in found] == [entry["generated_text"] for entry in expected]


def test_a_model_stops_after_a_text(gpt2):
    whole = write(gpt2, "text-generation", max_new_tokens=12)
    stop = [next(c for row in whole for c in row[0][:-1] if c.isascii())]
    expected = alone("AutoModelForCausalLM", gpt2, TEXTS, max_new_tokens=12, stop_strings=stop)
    assert write(gpt2, "text-generation", max_new_tokens=12, stop=stop) == expected
    assert expected != whole


def test_prompt_is_made_of_columns(gpt2):
    names = ("subject", "verdict")
    servable = opened(
        gpt2, "text-generation", names, template="{subject} is {verdict}: {{", max_new_tokens=5
    )
    assert [tensor.name for tensor in servable.signature.inputs] == list(names)
    columns = {name: np.array(TEXTS[i : i + 2], dtype=object) for i, name in enumerate(names)}
    prompts = [f"{a} is {b}: {{" for a, b in zip(*columns.values(), strict=True)]
    expected = alone("AutoModelForCausalLM", gpt2, prompts, max_new_tokens=5)
    assert [row.tolist() for row in servable.predict(columns)["texts"]] == expected


def test_chat_template_of_the_folder_is_used(gpt2):
    keys = {"chat": True, "system": "good", "max_new_tokens": 5}
    prompts = [f"system: good\nuser: {text}\nassistant: " for text in TEXTS]
    expected = alone("AutoModelForCausalLM", gpt2, prompts, max_new_tokens=5)
    assert write(gpt2, "text-generation", **keys) == expected


def test_folder_without_a_chat_template_is_refused(tmp_path):
    path = text_models.gpt2(tmp_path)
    (path / "chat_template.jinja").unlink()
    with pytest.raises(LoadError, match=r"has no chat template.*expected one for `chat: true`"):
        opened(path, "text-generation", chat=True)


def test_limit_that_counts_the_prompt_is_refused_with_the_key_that_does_not(tmp_path):
    """Filled up to the longest of its company, a prompt would leave less of it."""
    path = text_models.gpt2(tmp_path)
    file = path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "max_length": 30}))
    with pytest.raises(LoadError, match=r"has `max_length`, .* expected the key `max_new_tokens`"):
        opened(path, "text-generation")
    assert write(path, "text-generation", ["a photo"], max_new_tokens=3)


def test_prompt_leaves_room_for_what_is_written(gpt2):
    found = write(gpt2, "text-generation", ["a photo " * 40], max_new_tokens=20)
    assert len(found[0][0]) > 0
    with pytest.raises(LoadError, match=r"takes 64 tokens together .* may write 64; expected a s"):
        opened(gpt2, "text-generation", max_new_tokens=64)


@pytest.mark.parametrize("template", ["Nothing", "{}", "{a.b}", "{a!r}", "{a:5}", "{"])
def test_template_that_names_no_inputs_is_refused(template):
    with pytest.raises(ValueError, match=f"found '{template.replace('{', '.')[:1]}"):
        opened(None, "text-generation", template=template)


def test_init_chooses_the_task(t5, gpt2):
    from pipeline.drafting.description import description_of

    assert description_of("transformers", t5).keys == {"task": "text2text-generation"}
    assert description_of("transformers", gpt2).keys == {"task": "text-generation"}


def decoder(folder, name, **keys):
    """A decoder whose state is not made of attention alone, of random weights."""
    import torch
    import transformers

    torch.manual_seed(1)
    tokenizer = picture_models.byte_level_tokenizer(model_max_length=200, pad_token=None)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "bos_token_id": 0, "eos_token_id": 0}
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **sizes, **keys)
    network = getattr(transformers, f"{name}ForCausalLM")(config)
    with torch.no_grad():
        for weights in network.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.5)
    return text_models.saved(folder, network, tokenizer)


def test_prompts_are_filled_up_only_where_a_writer_leaves_padding_out(tmp_path):
    keys = {"num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1}
    path = decoder(tmp_path, "RecurrentGemma", **keys, lru_width=16, attention_window_size=32)
    prompts = ["good film " * n for n in (1, 2, 3, 5, 9, 12, 2, 1)]
    expected = alone("AutoModelForCausalLM", path, prompts, max_new_tokens=6)
    assert write(path, "text-generation", prompts, max_new_tokens=6) == expected


def test_writer_of_other_texts_in_company_is_refused(tmp_path):
    path = decoder(tmp_path, "Rwkv", num_hidden_layers=2, attention_hidden_size=16)
    with pytest.raises(LoadError, match=r"other tokens for a text beside another.* \d+% of the"):
        opened(path, "text-generation")


@pytest.mark.parametrize("task", ["text-generation", "text2text-generation"])
def test_texts_of_different_length_are_written_together(task, t5, gpt2, monkeypatch):
    from transformers import GenerationMixin

    servable = opened(gpt2 if task == "text-generation" else t5, task, max_new_tokens=3)
    made, generate = [], GenerationMixin.generate
    monkeypatch.setattr(
        GenerationMixin, "generate", lambda *a, **more: made.append(1) or generate(*a, **more)
    )
    servable.predict({"text": np.array(TEXTS, dtype=object)})
    assert len(made) == 1
