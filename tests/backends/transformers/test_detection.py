"""Boxes and masks, as transformers' own pipeline finds them in each picture alone."""

from io import BytesIO

import numpy as np
import pytest

from pipeline.backends.transformers.tasks import detection
from pipeline.backends.transformers.tasks.table import task_of
from pipeline.batch.batch import Batch
from pipeline.errors import LoadError
from pipeline.serving.step.model_step import ModelStep
from tests.support import models, picture_models
from tests.support.specs import load, model_spec

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 20, 14, 3), dtype="uint8")
DETECTORS = {"yolos": picture_models.yolos, "detr": picture_models.detr}
BOXES = ("boxes", "labels", "scores")
MASKS = ("mask", "labels", "shares")


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request, tmp_path_factory):
    return DETECTORS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return picture_models.segformer(tmp_path_factory.mktemp("segformer"))


def opened(folder, task, *outputs, **keys):
    entry = {"inputs": {"image": "i"}, "outputs": {name: name for name in outputs}}
    return load(folder, model_spec(framework="transformers", task=task, **entry, **keys))


def library(folder, task):
    """Its pipeline, with the image processor that is the same on every machine."""
    from transformers import AutoImageProcessor, pipeline

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    return pipeline(task, str(folder), image_processor=processor)


def test_objects_are_those_that_the_pipeline_finds(detector):
    from PIL import Image

    every = opened(detector, "object-detection", *BOXES, threshold=0).predict({"image": IMAGES})
    between = float(np.median(np.concatenate(every["scores"].rows)))
    run = library(detector, "object-detection")
    for keys in ({}, {"threshold": 0}, {"threshold": between}):
        found = opened(detector, "object-detection", *BOXES, **keys).predict({"image": IMAGES})
        for row, image in enumerate(IMAGES):
            expected = run(Image.fromarray(image), **keys)
            assert found["labels"].rows[row].tolist() == [one["label"] for one in expected]
            scores = [one["score"] for one in expected]
            np.testing.assert_allclose(found["scores"].rows[row], scores, atol=1e-5)
            boxes = np.array([list(one["box"].values()) for one in expected]).reshape(-1, 4)
            assert found["boxes"].rows[row].shape == boxes.shape
            # The pipeline cuts off what is behind the point.
            assert np.all(np.abs(found["boxes"].rows[row] - boxes) < 1 + 1e-3)
    assert len({len(row) for row in found["scores"].rows}) > 1


def test_picture_without_objects_has_empty_lists(detector):
    found = opened(detector, "object-detection", *BOXES, threshold=1).predict({"image": IMAGES})
    assert [row.shape for row in found["boxes"].rows] == [(0, 4)] * len(IMAGES)
    assert [len(row) for row in found["labels"].rows] == [0] * len(IMAGES)


def test_mask_has_the_class_of_each_pixel_at_the_size_of_the_picture(segmenter):
    from PIL import Image

    found = opened(segmenter, "image-segmentation", *MASKS).predict({"image": IMAGES})
    run = library(segmenter, "image-segmentation")
    for row, image in enumerate(IMAGES):
        mask = np.asarray(Image.open(BytesIO(found["mask"][row])))
        assert mask.shape == image.shape[:2]
        expected = run(Image.fromarray(image))
        assert found["labels"].rows[row].tolist() == [one["label"] for one in expected]
        for one, share in zip(expected, found["shares"].rows[row], strict=True):
            here = mask == run.model.config.label2id[one["label"]]
            np.testing.assert_array_equal(here, np.asarray(one["mask"]) == 255)
            assert share == pytest.approx(here.mean())
    assert len(set(found["mask"])) > 1


def test_mask_is_bytes_without_a_key_that_says_so(segmenter):
    entry = {"framework": "transformers", "task": "image-segmentation", "inputs": {"image": "i"}}
    spec = model_spec(**entry, outputs={"mask": "m", "labels": "l"})
    ids = tuple(range(len(IMAGES)))
    records = Batch(ids=ids, payloads=(b"",) * len(ids), columns={"i": IMAGES})
    done = ModelStep(spec).run(records, load(segmenter, spec))
    assert not done.rejects
    assert all(mask.startswith(b"\x89PNG") for mask in done.columns["m"])


def test_image_processor_that_reads_no_boxes_is_refused(detector, tmp_path):
    import shutil

    folder = shutil.copytree(detector, tmp_path / "model")
    classifier = models.vit_classifier(tmp_path / "vit")
    shutil.copy(classifier / "preprocessor_config.json", folder)
    with pytest.raises(LoadError, match="has no `post_process_object_detection`"):
        opened(folder, "object-detection", *BOXES)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("do_center_crop", {"do_center_crop": True, "crop_size": {"height": 8, "width": 8}}),
        ("do_pad", {"do_pad": True, "size_divisor": 500}),
        ("do_pad", {"do_pad": True, "pad_size": {"height": 64, "width": 64}}),
    ],
)
def test_processor_that_shows_another_frame_than_the_picture_is_refused(key, change, tmp_path):
    class Processor:
        """Has the keys of those that crop or pad; the tiny ones here have neither."""

    for name, value in change.items():
        setattr(Processor, name, value)
    with pytest.raises(LoadError, match=f"has `{key}: true`, so the model sees another frame"):
        detection.refuse_other_frames(tmp_path, Processor())
    setattr(Processor, key, False)
    detection.refuse_other_frames(tmp_path, Processor())


def test_threshold_is_a_share():
    for bad in (-0.1, 1.5):
        with pytest.raises(ValueError, match="threshold"):
            model_spec(
                framework="transformers",
                task="object-detection",
                inputs={"image": "i"},
                outputs={"boxes": "b"},
                threshold=bad,
            )


def test_tasks_are_known_by_the_architectures(detector, segmenter):
    assert task_of(detector)[0] == "object-detection"
    assert task_of(segmenter)[0] == "image-segmentation"
