"""How published image models want their pictures, told from the files beside a model or its name.

The lines are those of the table in ``examples/images/README.md``, whose test compares them with
what the libraries themselves make of pictures.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from pipeline.spec.prepare import AnyPrepare

Step = dict[str, Any]
Size = tuple[int, int]
"""Height and width."""

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_CAFFE = {"order": "bgr", "divide_by": 1, "mean": [103.939, 116.779, 123.68]}
_MINUS_1_TO_1 = {"mean": 0.5, "std": 0.5}
_USUAL_SIZE = (224, 224)
_MOST_BYTES = 64 << 20
_CONVNEXT_STRETCHES = 384
"""Pixels from which on ConvNeXt's processor stretches a picture and cuts nothing off."""
_STEP: TypeAdapter[AnyPrepare] = TypeAdapter(AnyPrepare)
_PROCESSORS: Mapping[str, tuple[bool, bool]] = {
    **dict.fromkeys(("Beit", "Blip", "Pvt", "ViT"), (True, False)),
    **dict.fromkeys(("Bit", "ChineseCLIP", "CLIP", "MobileNetV1", "MobileNetV2"), (False, True)),
    **dict.fromkeys(("ConvNext", "Siglip"), (False, False)),
    "DeiT": (True, True),
}
"""Image processors of transformers that do what `_of_processor` says and nothing more: whether one
number as `size` is both sides, not the shorter one; and whether they crop unless told otherwise."""
_PROCESSOR_SUFFIX = re.compile(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$")
_METHODS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""By the numbers that Pillow has for them."""
_KERAS: tuple[tuple[str, Step], ...] = (
    (r"resnet\d+_?v2|inception|xception|nasnet|mobilenet(_?v2)?([_-]\d.*)?$", _MINUS_1_TO_1),
    (r"resnet(50|101|152)|vgg(16|19)", _CAFFE),
    (r"densenet(121|169|201)", _IMAGENET),
    (r"efficientnet|convnext|mobilenet_?v3", {"divide_by": 1}),
)
"""Names of Keras' applications -> what `normalize` does for them."""
_TORCHVISION = re.compile(
    r"(resnet(18|34|50|101|152)|resnext\d+|wide_resnet\d+|vgg(11|13|16|19)|densenet(121|161|169|201)"
    r"|mobilenet_v[23]|squeezenet|shufflenet|alexnet|googlenet|mnasnet|inception_v3)"
)
_ZOO_RESNET = re.compile(r"resnet\d+-v[12]-\d+")
_ZOO_LITE = re.compile(r"efficientnet-lite\d")


@dataclass(frozen=True)
class Clues:
    """What may say of which family a model is.

    Attributes:
      framework: that reads it.
      names: of its file, its folder, and what it calls itself.
      files: name -> content, of those of CONFIG and PROCESSOR that are beside it.
      is_hub_module: whether it has the form of TF Hub.
    """

    framework: str = ""
    names: tuple[str, ...] = ()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_hub_module: bool = False


@dataclass(frozen=True)
class Preparation:
    """The steps between decoded pixels and a model.

    Attributes:
      steps: `resize`, maybe `center_crop`, and `normalize`, without `column`, `of` and `layout`.
      because: what says so.
    """

    steps: tuple[Step, ...]
    because: str


def keras_names(path: Path) -> list[str]:
    """What the model in a ``.keras`` file, or in a folder with one, calls itself; may be none."""
    files = [path] if path.is_file() else sorted(path.glob("*.keras"))
    with suppress(IndexError, zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError):
        archive = zipfile.ZipFile(files[0])
        with archive, archive.open(CONFIG) as content:
            return [str(orjson.loads(content.read(_MOST_BYTES))["config"]["name"])]
    return []


def preparation(clues: Clues, layout: str, size: Size | None) -> Preparation | None:
    """How a model wants its pictures; None if nothing says so.

    Args:
      clues: of the model.
      layout: "hwc" or "chw", as it takes pixels.
      size: of the pictures that it takes; None where only a file beside it may tell.
    """
    processor, timm = clues.files.get(PROCESSOR), _timm_config(clues.files.get(CONFIG, {}))
    if processor is None and timm is None:
        by_name = (_of_zoo, _of_keras, _of_torchvision)
        named = (way(clues, layout, size or _USUAL_SIZE) for way in by_name)
        return next(filter(None, named), None)
    with suppress(AttributeError, KeyError, TypeError, ValueError):  # whatever a file says
        found = _of_timm(timm, size) if processor is None else _of_processor(processor, size)
        for keys in found.steps if found is not None else ():
            _STEP.validate_python({"column": "x", "of": "x", **keys})
        return found
    return None


def _of_processor(config: Mapping[str, Any], size: Size | None) -> Preparation | None:
    """By the file that transformers' image processors write."""
    called = config.get("image_processor_type") or config["feature_extractor_type"]
    name, method = _PROCESSOR_SUFFIX.sub("", called), _METHODS.get(config["resample"])
    if name not in _PROCESSORS or method is None:
        return None
    if config.get("do_pad") or not config.get("do_resize", True):
        return None
    steps = _brought_to_size(config, name, method)
    if not steps or (size and (steps[-1].get("height"), steps[-1].get("width")) != size):
        return None
    normalize: Step = {"op": "normalize"}
    factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1
    if not math.isclose(factor, 1 / 255):
        normalize["divide_by"] = 1 / factor
    if config["do_normalize"]:
        normalize |= {"mean": config["image_mean"], "std": config["image_std"]}
    return Preparation((*steps, normalize), f"{PROCESSOR} beside it says so")


def _brought_to_size(config: Mapping[str, Any], name: str, method: str) -> list[Step]:
    """The steps of an image processor up to the size that a model takes; none if it is unclear."""
    is_square, crops = _PROCESSORS[name]
    told = config["size"]
    crop = config["crop_size"] if config.get("do_center_crop", crops) else None
    if isinstance(told, int):
        told = {"height": told, "width": told} if is_square else {"shortest_edge": told}
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    shorter = told.get("shortest_edge", 0)
    if name == "ConvNext":
        if told.keys() != {"shortest_edge"} or crop:
            return []
        crop = {"height": shorter, "width": shorter}
        if shorter >= _CONVNEXT_STRETCHES:
            told, crop = crop, None
        else:
            shorter = int(shorter / config["crop_pct"])
    if told.keys() == {"height", "width"}:
        first = {"op": "resize", **told, **_method(method)}
    elif told.keys() == {"shortest_edge"}:
        first = _shorter_side(shorter, method)
    else:
        return []
    return [first, {"op": "center_crop", **crop}] if crop else [first]


def _timm_config(config: Mapping[str, Any]) -> Any:
    """What timm writes of pictures beside weights; None where the file is none of its own."""
    return config.get("pretrained_cfg", config if "crop_pct" in config else None)


def _of_timm(told: Any, size: Size | None) -> Preparation | None:
    """By the file that timm writes; what it leaves out is as timm has it."""
    method = told.get("interpolation", "bicubic")
    height, width = size or told["input_size"][1:]
    is_usual = told.get("crop_mode", "center") == "center" and method in _METHODS.values()
    if not is_usual or height != width:
        return None
    steps = (
        _shorter_side(math.floor(height / told.get("crop_pct", 0.875)), method),
        {"op": "center_crop", "height": height, "width": width},
        {
            "op": "normalize",
            "mean": list(told.get("mean", _IMAGENET["mean"])),
            "std": list(told.get("std", _IMAGENET["std"])),
        },
    )
    return Preparation(steps, f"{CONFIG} beside it, which is timm's, says so")


def _of_zoo(clues: Clues, layout: str, size: Size) -> Preparation | None:
    """By names of the ONNX model zoo."""
    if clues.framework != "onnx" or size != (224, 224):
        return None
    crop = {"op": "center_crop", "height": 224, "width": 224, "rounding": "down"}
    if (name := _called(clues, _ZOO_RESNET)) and layout == "chw":
        steps = (_shorter_side(256, "bilinear"), crop, {"op": "normalize", **_IMAGENET})
        return Preparation(steps, f"'{name}' is a name of the ONNX model zoo")
    if (name := _called(clues, _ZOO_LITE)) and layout == "hwc":
        resize = {**_shorter_side(256, "bilinear"), "antialias": False}
        scale = {"op": "normalize", "divide_by": 1, "mean": 127, "std": 128}
        return Preparation((resize, crop, scale), f"'{name}' is a name of the ONNX model zoo")
    return None


def _of_keras(clues: Clues, layout: str, size: Size) -> Preparation | None:
    """By names of Keras' applications, or as most modules of TF Hub."""
    if layout != "hwc":
        return None
    height, width = size
    resize: Step = {"op": "resize", "height": height, "width": width}
    if clues.is_hub_module:
        steps = ({**resize, "antialias": False}, {"op": "normalize"})
        return Preparation(steps, "so do most modules of TF Hub")
    for pattern, scale in _KERAS:
        if name := _called(clues, re.compile(pattern, re.IGNORECASE)):
            steps = ({**resize, "method": "nearest"}, {"op": "normalize", **scale})
            return Preparation(steps, f"'{name}' is a name of Keras' applications")
    return None


def _of_torchvision(clues: Clues, layout: str, size: Size) -> Preparation | None:
    """By names of torchvision's models, whose first weights are all prepared alike."""
    name = _called(clues, _TORCHVISION)
    if layout != "chw" or not name or size != ((299, 299) if "inception" in name else (224, 224)):
        return None
    height, width = size
    steps = (
        _shorter_side(256 if height == 224 else 342, "bilinear"),
        {"op": "center_crop", "height": height, "width": width},
        {"op": "normalize", **_IMAGENET},
    )
    because = f"'{name}' is a name of torchvision's; newer weights of it want another `size`"
    return Preparation(steps, because)


def _shorter_side(size: int, method: str) -> Step:
    return {"op": "resize", "fit": "shorter_side", "size": size, **_method(method)}


def _method(method: str) -> Step:
    return {} if method == "bilinear" else {"method": method}


def _called(clues: Clues, pattern: re.Pattern[str]) -> str:
    """The first of the names that begins like a pattern; empty if none does."""
    return next((name for name in clues.names if pattern.match(name)), "")
