"""Captions of pictures, as the model's own `generate` writes them for each picture alone."""

import json

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import picture_models
from tests.support.specs import load, model_spec

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 20, 14, 3), dtype="uint8")
BUILDERS = {
    "blip": picture_models.blip,
    "vision-encoder-decoder": picture_models.vision_encoder_decoder,
}


@pytest.fixture(scope="module", params=BUILDERS)
def folder(request, tmp_path_factory):
    return BUILDERS[request.param](tmp_path_factory.mktemp(request.param))


def opened(folder, **keys):
    entry = {"inputs": {"image": "i"}, "outputs": {"text": "text", "texts": "texts"}}
    return load(folder, model_spec(framework="transformers", task="image-to-text", **entry, **keys))


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 6},
        {"max_new_tokens": 6, "num_beams": 3, "num_return_sequences": 3},
        {"max_new_tokens": 8, "min_new_tokens": 4, "num_beams": 2, "no_repeat_ngram_size": 2},
    ],
    ids=str,
)
def test_captions_are_those_that_generate_writes_for_one_picture(options, folder):
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    found = opened(folder, **options).predict({"image": IMAGES})
    model = AutoModelForImageTextToText.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")
    for row, image in enumerate(IMAGES):
        with torch.no_grad():
            ids = model.generate(**pixels([image], return_tensors="pt"), **options)
        expected = tokenizer.batch_decode(ids, skip_special_tokens=True)
        assert found["texts"][row].tolist() == expected
        assert found["text"][row] == expected[0]
    assert len(set(found["text"])) > 1


def test_more_texts_than_beams_are_refused(folder):
    with pytest.raises(ValueError, match="num_return_sequences 3, expected at most num_beams, 2"):
        opened(folder, num_return_sequences=3, num_beams=2)
    with pytest.raises(LoadError, match=r"would return 2 texts of 1 beam\(s\) for a row"):
        opened(folder, num_return_sequences=2)


def test_sampling_that_only_the_folder_wants_is_refused(tmp_path):
    path = picture_models.blip(tmp_path)
    file = path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "do_sample": True}))
    with pytest.raises(LoadError, match=r"generation_config\.json has `do_sample: true`"):
        opened(path)
    assert opened(path, do_sample=False, max_new_tokens=3).predict({"image": IMAGES[:1]})


@pytest.fixture(scope="module")
def answerer(tmp_path_factory):
    return picture_models.blip_answers(tmp_path_factory.mktemp("blip-answers"))


@pytest.mark.parametrize(
    "options", [{}, {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 2}], ids=str
)
def test_answers_are_those_that_generate_writes_for_one_picture_and_question(options, answerer):
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, BlipForQuestionAnswering

    inputs = {"image": "i", "question": "q"}
    entry = {"inputs": inputs, "outputs": {"text": "text", "texts": "texts"}, **options}
    task = "visual-question-answering"
    servable = load(answerer, model_spec(framework="transformers", task=task, **entry))
    questions = ["a red circle", "", "two", "the blue triangle is bad, very bad"]
    given = {"image": IMAGES, "question": np.array(questions, dtype=object)}
    found = servable.predict(given)
    model = BlipForQuestionAnswering.from_pretrained(answerer)
    tokenizer = AutoTokenizer.from_pretrained(answerer)
    pixels = AutoImageProcessor.from_pretrained(answerer, backend="pil")
    for row, (image, question) in enumerate(zip(IMAGES, questions, strict=True)):
        asked = tokenizer(question, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            ids = model.generate(**asked, **pixels([image], return_tensors="pt"), **options)
        assert found["texts"][row].tolist() == tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert len(set(found["text"])) > 1
