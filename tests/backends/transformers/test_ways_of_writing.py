"""What a folder says of how its model writes: obeyed, or refused."""

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import text_models
from tests.support.model_folders import alone, change, opened

TEXTS = np.array(["good film", "a very bad red circle", "bad"], dtype=object)


def written(path, **keys):
    servable = opened(path, "text-generation", "text", **{"max_new_tokens": 6, **keys})
    found = servable.predict({"text": TEXTS})["text"].tolist()
    assert found == alone(servable, TEXTS, "text").tolist()
    return found


@pytest.mark.parametrize("ends", [7, [2, 7, 60, 61, 62, 63, 64]], ids=["one", "list"])
def test_any_token_that_ends_texts_ends_them(ends, copy):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = change(copy(text_models.gpt2) / "generation_config.json", eos_token_id=ends)
    tokenizer = AutoTokenizer.from_pretrained(path)
    network = AutoModelForCausalLM.from_pretrained(path)
    expected = []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt")
        ids = network.generate(**tokens, max_new_tokens=6)[0, tokens["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(ids, skip_special_tokens=True))
    assert written(path) == expected


def test_stop_texts_of_a_folder_stop(copy):
    path = copy(text_models.gpt2)
    whole, stop = written(path), ["ver"]
    stopped = written(path, stop=stop)
    change(path / "generation_config.json", stop_strings=stop)
    assert written(path) == stopped != whole


@pytest.mark.parametrize(
    "keys",
    [
        {"max_time": 0.01},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
        {"prompt_lookup_num_tokens": 3},
        {"dola_layers": "high"},
        {"force_words_ids": []},  # which transformers refuses, too
        {"token_healing": True},
        {"cache_implementation": "quantized"},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_ways_of_writing_that_are_not_known_are_refused(keys, copy):
    path = change(copy(text_models.gpt2) / "generation_config.json", **keys)
    with pytest.raises(LoadError, match=r"asks with `.*not known here; expected greedy search, b"):
        written(path)


def test_keys_that_ask_for_what_is_usual_change_nothing(copy):
    path = copy(text_models.gpt2)
    expected = written(path)
    usual = {"token_healing": False, "cache_implementation": "dynamic", "num_beam_groups": 1}
    assert written(change(path / "generation_config.json", **usual)) == expected


SAID = "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"


@pytest.mark.parametrize(
    "named",
    [SAID, [{"name": "default", "template": SAID}, {"name": "tools", "template": "{{ x }}"}]],
    ids=["text", "list"],
)
def test_chat_templates_are_found_wherever_they_lie(named, copy):
    path = copy(text_models.gpt2)
    (path / "chat_template.jinja").write_text(SAID)
    expected = written(path, chat=True)
    (path / "chat_template.jinja").unlink()
    change(path / "tokenizer_config.json", chat_template=named)
    assert written(path, chat=True) == expected != written(path)


@pytest.mark.parametrize(
    ("template", "keys", "said"),
    [
        ("{% for", {}, "unexpected|Expected"),
        (
            NO_SYSTEM + SAID,
            {"system": "Be brief."},
            r"\(no system\).*takes `system`",
        ),
        ([{"name": "tools", "template": SAID}], {}, "no default"),
        ("{{ tools[0].name.first }}" + SAID, {}, "None has no element 0"),
    ],
    ids=["broken", "system", "no default", "tools"],
)
def test_chat_template_that_does_not_work_is_refused(template, keys, said, copy):
    path = copy(text_models.gpt2)
    (path / "chat_template.jinja").unlink(missing_ok=True)
    change(path / "tokenizer_config.json", chat_template=template)
    with pytest.raises(LoadError, match=rf"has a chat template that does not work .*({said})"):
        written(path, chat=True, **keys)
