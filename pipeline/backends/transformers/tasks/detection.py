"""Pictures to what is in them, and where: boxes, or a class for each pixel.

All pictures of a call have one size. So nothing is filled up, after which some models would answer
otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.pictures import Pictures, png
from pipeline.backends.transformers.tasks.task import Network, Task, class_names
from pipeline.batch.columns import Array, Column, Ragged
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

_IN_A_BYTE, _IN_TWO = 1 << 8, 1 << 16


@dataclass(frozen=True)
class _Shown:
    """Pictures as the model takes them, and the height and width that all of them had."""

    arguments: Mapping[str, Any]
    size: tuple[int, int]


@dataclass(frozen=True)
class _Answer:
    """What the image processor reads of a model's answer, on the CPU."""

    logits: Any
    pred_boxes: Any = None


def open_objects(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`object-detection`: lists of one length, which may be empty; boxes in pixels."""
    pictures = Pictures(path, reader="post_process_object_detection")
    refuse_other_frames(path, pictures.processor)
    names = class_names(path, network.config)

    def compute(network: Network, shown: _Shown, wanted: Collection[str]) -> dict[str, Column]:
        import torch

        made = network(shown.arguments)
        tensors = {"logits": made.logits.float(), "pred_boxes": made.pred_boxes.float()}
        arrays = network.arrays(tensors)
        found = pictures.processor.post_process_object_detection(
            _Answer(**{name: torch.from_numpy(array) for name, array in arrays.items()}),
            threshold=spec.threshold,
            target_sizes=torch.tensor([shown.size] * len(made.logits)),
        )
        return {
            "boxes": Ragged(_numbers(row["boxes"]).reshape(-1, 4) for row in found),
            "labels": Ragged(_named(names, row["labels"].tolist()) for row in found),
            "scores": Ragged(_numbers(row["scores"]) for row in found),
        }

    return Task(
        inputs=(pictures.tensor,),
        outputs=(
            TensorSpec("boxes", "float32", (None, None, 4)),
            TensorSpec("labels", "string", (None, None)),
            TensorSpec("scores", "float32", (None, None)),
        ),
        prepare=lambda inputs: _shown(pictures, inputs["image"]),
        compute=compute,
    )


def open_segments(path: Path, spec: TransformersModel, network: Network) -> Task:
    """`image-segmentation`: the number of each pixel's class, as a PNG of the picture's size.

    Pictures are computed one at a time: a pixel between two classes would have the other one where
    sums are rounded otherwise.
    """
    pictures = Pictures(path, reader="post_process_semantic_segmentation")
    refuse_other_frames(path, pictures.processor)
    names = class_names(path, network.config)
    if len(names) > _IN_TWO:
        raise LoadError(f"{path} has {len(names)} classes, a PNG holds at most {_IN_TWO}")
    dtype = np.dtype("uint8" if len(names) <= _IN_A_BYTE else "uint16")

    def compute(network: Network, shown: _Shown, wanted: Collection[str]) -> dict[str, Column]:
        import torch

        rows = []
        for row in range(len(shown.arguments["pixel_values"])):
            made = network({name: t[row : row + 1] for name, t in shown.arguments.items()})
            logits = network.arrays({"logits": made.logits.float()})["logits"]
            (classes,) = pictures.processor.post_process_semantic_segmentation(
                _Answer(torch.from_numpy(logits)), target_sizes=[shown.size]
            )
            rows.append(np.asarray(classes.numpy()))
        numbers = [np.unique(row, return_counts=True) for row in rows]
        return {
            "mask": _objects([png(row.astype(dtype)) for row in rows]),
            "labels": Ragged(_named(names, found.tolist()) for found, _ in numbers),
            "shares": Ragged((counts / counts.sum()).astype(np.float32) for _, counts in numbers),
        }

    return Task(
        inputs=(pictures.tensor,),
        outputs=(
            TensorSpec("mask", "bytes", (None,)),
            TensorSpec("labels", "string", (None, None)),
            TensorSpec("shares", "float32", (None, None)),
        ),
        prepare=lambda inputs: _shown(pictures, inputs["image"]),
        compute=compute,
    )


def refuse_other_frames(path: Path, processor: Any) -> None:
    """Refuses processors that show a model a part of a picture, or more than the picture.

    Places in the answer are then no places of the picture, and the library takes them for such.
    """
    padded = getattr(processor, "size_divisor", None) or getattr(processor, "pad_size", None)
    for key, found in (
        ("do_center_crop", getattr(processor, "do_center_crop", None)),
        ("do_pad", getattr(processor, "do_pad", None) and padded),
    ):
        if found:
            raise LoadError(
                f"{path}: its image processor has `{key}: true`, so the model sees another frame "
                "than the picture's, and places in its answer would be wrong; expected "
                f"`{key}: false` in preprocessor_config.json"
            )


def _shown(pictures: Pictures, images: Array) -> _Shown:
    return _Shown(pictures.prepared(images), (images.shape[1], images.shape[2]))


def _named(names: Sequence[str], numbers: list[int]) -> Array:
    return _objects([names[number] for number in numbers])


def _objects(values: list[Any]) -> Array:
    return np.array(values, dtype=object)


def _numbers(tensor: Any) -> Array:
    return np.asarray(tensor.numpy(), dtype=np.float32)
