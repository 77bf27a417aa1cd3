"""Named things and missing words, as the pipelines of transformers find them row by row."""

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import picture_models, text_models
from tests.support.specs import load, model_spec

TEXTS = [
    "a photo of a red circle on the left",
    "the blue triangle, very bad",
    "",
    "good  films and\ttwo greensquares of the right size " * 3,
    "étrange circle",
]
LABELS = dict(enumerate(["O", "B-SHAPE", "I-SHAPE", "B-COLOUR", "I-COLOUR"]))
BUILDERS = {"Bert": text_models.bert, "Roberta": text_models.roberta}


def texts(rows):
    return np.array(rows, dtype=object)


def opened(folder, task, *outputs, **keys):
    entry = {"inputs": {"text": "t"}, "outputs": {name: name for name in outputs}}
    return load(folder, model_spec(framework="transformers", task=task, **entry, **keys))


@pytest.fixture(scope="module", params=BUILDERS)
def tagger(request, tmp_path_factory):
    kind = f"{request.param}ForTokenClassification"
    return BUILDERS[request.param](tmp_path_factory.mktemp(kind), kind, id2label=LABELS)


@pytest.fixture(scope="module", params=BUILDERS)
def filler(request, tmp_path_factory):
    kind = f"{request.param}ForMaskedLM"
    return BUILDERS[request.param](tmp_path_factory.mktemp(kind), kind)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_entities_are_those_of_the_pipeline(aggregation, tagger):
    from transformers import pipeline

    names = ("labels", "texts", "scores", "starts", "ends")
    servable = opened(tagger, "token-classification", *names, aggregation=aggregation)
    found = servable.predict({"text": texts(TEXTS)})
    run = pipeline("token-classification", str(tagger), aggregation_strategy=aggregation)
    key = "entity" if aggregation == "none" else "entity_group"
    some = 0
    for row, text in enumerate(TEXTS):
        expected = run(text)
        some += len(expected)
        assert found["labels"].rows[row].tolist() == [entity[key] for entity in expected]
        assert found["starts"].rows[row].tolist() == [entity["start"] for entity in expected]
        assert found["ends"].rows[row].tolist() == [entity["end"] for entity in expected]
        assert found["texts"].rows[row].tolist() == [
            text[entity["start"] : entity["end"]] for entity in expected
        ]
        np.testing.assert_allclose(
            found["scores"].rows[row], [entity["score"] for entity in expected], atol=1e-5
        )
    assert some
    assert {found[name].rows[2].size for name in names} == {0}


def test_a_mask_is_filled_as_the_pipeline_fills_it(filler):
    from transformers import pipeline

    run = pipeline("fill-mask", str(filler), top_k=4)
    mask = run.tokenizer.mask_token
    rows = [f"a photo of a {mask} circle", f"{mask}", f"the blue triangle is {mask}, very bad bad"]
    servable = opened(filler, "fill-mask", "tokens", "scores", "text", top_k=4)
    found = servable.predict({"text": texts(rows)})
    for row, text in enumerate(rows):
        expected = run(text)
        assert found["tokens"][row].tolist() == [entry["token_str"] for entry in expected]
        assert found["text"][row] == expected[0]["sequence"]
        np.testing.assert_allclose(
            found["scores"][row], [entry["score"] for entry in expected], atol=1e-5
        )
    assert servable.signature.outputs[0].row_shape == (4,)


def test_text_without_a_mask_or_with_two_is_refused(filler):
    servable = opened(filler, "fill-mask", "tokens")
    for text, count in (("a circle", 0), ("a [MASK]<mask> and [MASK]<mask>", 2)):
        with pytest.raises(ValueError, match=rf"found {count} times '.*' in the text"):
            servable.predict({"text": texts([text])})


def test_tokenizer_without_a_mask_is_refused(tmp_path):
    path = text_models.bert(tmp_path, "BertForMaskedLM")
    picture_models.byte_level_tokenizer(model_max_length=24).save_pretrained(path)
    with pytest.raises(LoadError, match="its tokenizer has no mask"):
        opened(path, "fill-mask", "tokens")


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("BertForTokenClassification", "token-classification"),
        ("BertForMaskedLM", "fill-mask"),
        ("BertForQuestionAnswering", "question-answering"),
    ],
)
def test_init_chooses_the_task(kind, task, tmp_path):
    from pipeline.drafting.description import description_of

    assert description_of("transformers", text_models.bert(tmp_path, kind)).keys == {"task": task}
