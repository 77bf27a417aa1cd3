"""What `init` drafts for models of known families is what the table of these families has."""

import json
import zipfile

import numpy as np
import pytest

from pipeline.drafting.families import CONFIG, PROCESSOR, Clues, keras_names, preparation
from tests.ops.families.test_families import compute, table

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
TIMM = {"mean": IMAGENET["mean"], "std": IMAGENET["std"], "crop_pct": 0.875, "crop_mode": "center"}
VIT = {"mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9, "interpolation": "bicubic"}
PROCESSED = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": IMAGENET["mean"],
    "image_std": IMAGENET["std"],
}


def steps(clues, layout="chw", size=224):
    """The lines as the table has them: `layout` at the end, one number for three alike."""
    found = preparation(clues, layout, size and (size, size))
    assert found is not None
    made = [dict(keys) for keys in found.steps]
    if layout == "chw":
        made[-1]["layout"] = layout
    for key, value in made[-1].items():
        if isinstance(value, list) and len(set(value)) == 1:
            made[-1][key] = value[0]
    return made


def by_name(framework, name):
    return Clues(framework, (name,))


def by_file(name, content):
    return Clues("onnx", ("model",), {name: content})


@pytest.mark.parametrize(
    ("family", "clues", "layout", "size"),
    [
        ("torchvision", by_name("torch", "resnet50"), "chw", 224),
        ("timm", by_file(CONFIG, {"pretrained_cfg": TIMM}), "chw", 224),
        ("timm", by_file(CONFIG, TIMM), "chw", 224),
        ("timm, ViT", by_file(CONFIG, {"architecture": "vit", "pretrained_cfg": VIT}), "chw", 224),
        ("Keras, `caffe`", by_name("tensorflow", "resnet50"), "hwc", 224),
        ("Keras, `caffe`", by_name("tensorflow", "VGG16"), "hwc", 224),
        ("Keras, `tf`", by_name("tensorflow", "inception_v3"), "hwc", 299),
        ("Keras, `torch`", by_name("tensorflow", "densenet121"), "hwc", 224),
        ("TF Hub", Clues("tensorflow", ("m",), is_hub_module=True), "hwc", 224),
        ("ONNX zoo, ResNet", by_name("onnx", "resnet50-v2-7"), "chw", 224),
        ("ONNX zoo, EfficientNet-Lite", by_name("onnx", "efficientnet-lite4-11"), "hwc", 224),
        ("torchvision, bicubic", by_file(PROCESSOR, PROCESSED), "chw", 224),
        ("torchvision, bicubic", by_file(PROCESSOR, PROCESSED), "chw", None),
        ("timm", by_file(CONFIG, {**TIMM, "input_size": [3, 224, 224]}), "chw", None),
    ],
)
def test_lines_are_those_of_the_table(family, clues, layout, size):
    lines, _ = table()[family]
    assert steps(clues, layout, size) == lines


@pytest.mark.parametrize(
    ("name", "scaled"),
    [
        ("resnet101", "bgr"),
        ("resnet50v2", 0.5),
        ("mobilenet_1.00_224", 0.5),
        ("mobilenetv2_1.00_224", 0.5),
        ("MobileNetV3Large", None),
        ("efficientnetb0", None),
        ("convnext_tiny", None),
        ("xception", 0.5),
        ("NASNet", 0.5),
    ],
)
def test_names_that_keras_gives_its_applications(name, scaled):
    *_, normalize = steps(by_name("tensorflow", name), "hwc")
    assert normalize.get("order", normalize.get("mean")) == scaled
    assert (normalize.get("divide_by", 255) == 1) == (scaled in ("bgr", None))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size": 256}, [{"size": 256}, {"height": 224}]),
        (
            {"size": 256, "image_processor_type": "DeiTImageProcessor"},
            [{"height": 256, "width": 256}, {"height": 224}],
        ),
        (
            {"size": 224, "do_center_crop": False, "image_processor_type": "ViTFeatureExtractor"},
            [{"height": 224}],
        ),
        ({"size": {"height": 224, "width": 224}, "do_center_crop": False}, [{"width": 224}]),
        (
            {
                "size": {"shortest_edge": 224},
                "crop_pct": 0.875,
                "image_processor_type": "ConvNextImageProcessor",
                "do_center_crop": False,
            },
            [{"size": 256}, {"height": 224}],
        ),
    ],
)
def test_sizes_of_image_processors(changes, expected):
    *found, _ = steps(by_file(PROCESSOR, {**PROCESSED, **changes}))
    assert len(found) == len(expected)
    assert all(part.items() <= step.items() for part, step in zip(expected, found, strict=True))


def test_large_convnext_pictures_are_stretched():
    config = {**PROCESSED, "size": {"shortest_edge": 384}, "do_center_crop": False}
    config["image_processor_type"] = "ConvNextImageProcessorFast"
    first, *others = steps(by_file(PROCESSOR, config), size=384)
    assert first == {"op": "resize", "height": 384, "width": 384, "method": "bicubic"}
    assert [step["op"] for step in others] == ["normalize"]


@pytest.mark.parametrize(
    "clues",
    [
        by_name("torch", "mine"),
        by_name("torch", "vit_base_patch16_224"),
        by_file(PROCESSOR, {**PROCESSED, "crop_size": 192}),
        by_file(PROCESSOR, {**PROCESSED, "resample": 1}),
        by_file(PROCESSOR, {**PROCESSED, "do_pad": True}),
        by_file(PROCESSOR, {**PROCESSED, "size": "large"}),
        by_file(PROCESSOR, {**PROCESSED, "image_mean": "grey"}),
        by_file(PROCESSOR, {**PROCESSED, "size": {"longest_edge": 224}}),
        by_file(PROCESSOR, {k: v for k, v in PROCESSED.items() if k != "image_processor_type"}),
        by_file(PROCESSOR, {**PROCESSED, "image_processor_type": 3}),
        by_file(PROCESSOR, {**PROCESSED, "image_processor_type": "LevitImageProcessorFast"}),
        by_file(PROCESSOR, {**PROCESSED, "image_processor_type": "EfficientNetImageProcessor"}),
        by_file(PROCESSOR, {**PROCESSED, "image_processor_type": "PoolFormerImageProcessor"}),
        by_file(CONFIG, {"pretrained_cfg": {**TIMM, "crop_mode": "border"}}),
        by_file(CONFIG, {"pretrained_cfg": {**TIMM, "interpolation": "random"}}),
        by_file(CONFIG, {"pretrained_cfg": 3}),
        by_file(CONFIG, {"model_type": "vit"}),
    ],
)
def test_what_no_line_of_the_table_fits_is_not_known(clues):
    assert preparation(clues, "chw", (224, 224)) is None


SIZES = [
    {"size": 36, "crop_size": 28},
    {"size": 36, "crop_size": 28, "do_center_crop": True},
    {"size": 36, "crop_size": 28, "do_center_crop": False},
    {"size": {"shortest_edge": 36}, "crop_size": {"height": 28, "width": 28}},
    {"size": {"height": 30, "width": 28}, "do_center_crop": False},
    {"size": 384, "do_center_crop": False, "crop_pct": 0.875},
]


@pytest.mark.long
def test_what_is_drafted_for_any_image_processor_is_what_it_does():
    """Of all that transformers has; for most of them, nothing is drafted."""
    import transformers

    suffix = "ImageProcessorPil"
    names = [name.removesuffix(suffix) for name in dir(transformers) if name.endswith(suffix)]
    pixels = np.random.default_rng(0).integers(0, 256, (60, 91, 3), np.uint8)
    known = set()
    for name in names:
        for sizes in SIZES:
            config = {"image_processor_type": f"{name}ImageProcessor", "resample": 3, **sizes}
            config |= {"do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2] * 3}
            found = preparation(by_file(PROCESSOR, config), "chw", None)
            if found is None:
                continue
            known.add(name)
            *others, normalize = found.steps
            own = getattr(transformers, f"{name}{suffix}").from_dict(config)
            (expected,) = own(pixels, return_tensors="np")["pixel_values"]
            drafted = compute([*others, {**normalize, "layout": "chw"}], pixels)
            np.testing.assert_allclose(drafted, expected, atol=1e-5, err_msg=f"{name}, {sizes}")
    assert {"ViT", "CLIP", "ConvNext", "DeiT", "Siglip"} <= known


def test_file_beside_a_model_counts_more_than_its_name():
    odd = {**PROCESSED, "resample": 1}
    assert preparation(Clues("onnx", ("resnet50",), {PROCESSOR: odd}), "chw", (224, 224)) is None


def test_keras_file_says_what_its_model_is_called(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"name": "vgg16"}}))
    (tmp_path / "bad.keras").write_bytes(b"x")
    assert keras_names(tmp_path / "model.keras") == ["vgg16"]
    assert keras_names(tmp_path / "bad.keras") == []
    assert keras_names(tmp_path / "absent") == []
