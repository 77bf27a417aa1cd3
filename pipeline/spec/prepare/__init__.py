"""The prepare steps of the ensemble file, listed in the order of the documents."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.spec.prepare.hashes import Hash
from pipeline.spec.prepare.images import CenterCrop, DecodeImage, Normalize, Resize
from pipeline.spec.prepare.labels import OneHot, Ordinal
from pipeline.spec.prepare.missing import Fill, IsMissing
from pipeline.spec.prepare.numbers import Bucketize, Cast, Clip, Log1p, Scale
from pipeline.spec.prepare.raw import DecodeRaw
from pipeline.spec.prepare.shapes import Concat, Pad
from pipeline.spec.prepare.sounds import DecodeAudio
from pipeline.spec.prepare.text import Lower, Tokenize
from pipeline.spec.prepare.times import ParseTime

__all__ = [
    "AnyPrepare",
    "Bucketize",
    "Cast",
    "CenterCrop",
    "Clip",
    "Concat",
    "DecodeAudio",
    "DecodeImage",
    "DecodeRaw",
    "Fill",
    "Hash",
    "IsMissing",
    "Log1p",
    "Lower",
    "Normalize",
    "OneHot",
    "Ordinal",
    "Pad",
    "ParseTime",
    "PrepareStep",
    "Resize",
    "Scale",
    "Tokenize",
]

PrepareStep = (
    Concat
    | Fill
    | IsMissing
    | DecodeImage
    | Resize
    | CenterCrop
    | Normalize
    | DecodeAudio
    | DecodeRaw
    | Scale
    | Clip
    | Log1p
    | Bucketize
    | OneHot
    | Ordinal
    | Hash
    | ParseTime
    | Cast
    | Lower
    | Pad
    | Tokenize
)
AnyPrepare = Annotated[PrepareStep, Field(discriminator="op")]
