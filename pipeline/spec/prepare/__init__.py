"""The prepare steps of the ensemble file, listed in the order of the documents."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.spec.prepare.images import DecodeImage, Normalize, Resize
from pipeline.spec.prepare.labels import OneHot
from pipeline.spec.prepare.numbers import Cast, Scale
from pipeline.spec.prepare.shapes import Concat, Pad
from pipeline.spec.prepare.sounds import DecodeAudio
from pipeline.spec.prepare.text import Lower, Tokenize

__all__ = [
    "AnyPrepare",
    "Cast",
    "Concat",
    "DecodeAudio",
    "DecodeImage",
    "Lower",
    "Normalize",
    "OneHot",
    "Pad",
    "PrepareStep",
    "Resize",
    "Scale",
    "Tokenize",
]

PrepareStep = (
    Concat
    | DecodeImage
    | Resize
    | Normalize
    | DecodeAudio
    | Scale
    | OneHot
    | Cast
    | Lower
    | Pad
    | Tokenize
)
AnyPrepare = Annotated[PrepareStep, Field(discriminator="op")]
