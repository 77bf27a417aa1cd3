"""Pictures compared with texts, as transformers' pipeline and models do it row by row."""

import numpy as np
import pytest

from pipeline.batch.columns import Ragged
from pipeline.errors import LoadError
from tests.support import models, picture_models
from tests.support.specs import load, model_spec

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 20, 14, 3), dtype="uint8")
LABELS = ["a red circle", "two green squares", "a red circle and a blue triangle"]
CONSTANT = {"value": LABELS, "dtype": "string"}
BUILDERS = {"clip": picture_models.clip, "siglip": picture_models.siglip}


@pytest.fixture(scope="module", params=BUILDERS)
def folder(request, tmp_path_factory):
    return BUILDERS[request.param](tmp_path_factory.mktemp(request.param))


def opened(folder, task, inputs, *outputs, **keys):
    entry = {"inputs": {"image": "i", **inputs}, "outputs": {name: name for name in outputs}}
    return load(folder, model_spec(framework="transformers", task=task, **entry, **keys))


def texts(*rows):
    return np.array(rows, dtype=object)


def test_labels_are_ranked_as_the_pipeline_ranks_them(folder):
    from PIL import Image
    from transformers import pipeline

    task = "zero-shot-image-classification"
    servable = opened(folder, task, {"labels": CONSTANT}, "labels", "scores", "label")
    found = servable.predict({"image": IMAGES, "labels": texts(*LABELS)})
    run = pipeline(task, str(folder))
    for row, image in enumerate(IMAGES):
        expected = run(Image.fromarray(image), candidate_labels=LABELS)
        assert found["labels"][row].tolist() == [entry["label"] for entry in expected]
        assert found["label"][row] == expected[0]["label"]
        np.testing.assert_allclose(
            found["scores"][row], [entry["score"] for entry in expected], atol=1e-5
        )


def test_similarity_is_what_the_model_says_of_one_picture_and_its_texts(folder):
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    names = ("best", "scores", "logits", "image_embedding", "text_embeddings")
    servable = opened(folder, "image-text-similarity", {"texts": "captions"}, *names)
    column = texts(*([LABELS[i % 3], LABELS[(i + 1) % 3]] for i in range(4)))
    found = servable.predict({"image": IMAGES, "texts": column})
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")
    for row, image in enumerate(IMAGES):
        given = column[row].tolist()
        padding = "max_length" if model.config.model_type == "siglip" else True
        with torch.no_grad():
            expected = model(
                **tokenizer(given, padding=padding, return_tensors="pt"),
                **pixels([image], return_tensors="pt"),
            )
        logits = expected.logits_per_image[0].numpy()
        np.testing.assert_allclose(found["logits"].rows[row], logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            found["image_embedding"][row], expected.image_embeds[0], atol=1e-5
        )
        np.testing.assert_allclose(
            found["text_embeddings"].rows[row], expected.text_embeds, atol=1e-5
        )
        assert found["best"][row] == given[logits.argmax()]
    assert isinstance(found["scores"], Ragged)
    widths = {tensor.name: tensor.row_shape for tensor in servable.signature.outputs}
    assert widths["image_embedding"] == found["image_embedding"].shape[1:]


def test_picture_without_texts_is_refused(folder):
    servable = opened(folder, "image-text-similarity", {"texts": "captions"}, "best")
    with pytest.raises(ValueError, match="found an empty list in 'texts', expected some texts"):
        servable.predict({"image": IMAGES[:1], "texts": np.empty((1, 0), dtype=object)})


def test_folder_of_another_model_is_refused_with_those_that_fit(tmp_path):
    path = models.bert_embedder(tmp_path)
    with pytest.raises(LoadError, match=r"model_type 'bert', expected for .* clip, siglip"):
        opened(path, "image-text-similarity", {"texts": "captions"}, "best")


def test_folder_without_the_file_of_its_image_processor_is_refused(tmp_path):
    path = picture_models.clip(tmp_path)
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(LoadError, match=r"no file of its image processor, expected prep"):
        opened(path, "image-text-similarity", {"texts": "captions"}, "best")


@pytest.mark.parametrize(
    ("builder", "task"),
    [("clip", "image-text-similarity"), ("siglip", "image-text-similarity")],
)
def test_init_chooses_the_task(builder, task, tmp_path):
    from pipeline.drafting.description import description_of

    described = description_of("transformers", BUILDERS[builder](tmp_path))
    assert described.keys == {"task": task}
