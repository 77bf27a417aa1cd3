"""Prepare steps of pictures: files become pixels, of one size, as models read them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.spec.column_types import NUMBERS, Type, need
from pipeline.spec.prepare.step import OfOne


class DecodeImage(OfOne):
    """Image files (JPEG, PNG, WebP, BMP, GIF: the first frame) as pixels, upright by their EXIF.

    `bytes` -> `uint8[any, any, channels]`: rows, columns, colours. Transparency is dropped.
    """

    error_type = "bad_image"

    op: Literal["decode_image"]
    channels: int = Field(default=3, description="3 for colour, 1 for grey.")
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        description="A larger image is a dead letter; its size is read before it is decoded.",
    )

    @field_validator("channels")
    @classmethod
    def _one_or_three(cls, channels: int) -> int:
        if channels not in (1, 3):
            raise ValueError(f"found {channels}, expected 3 (colour) or 1 (grey)")
        return channels

    def types(self, *read: Type) -> dict[str, Type]:
        """Pixels; their height and width vary."""
        need(read == (("bytes", ()),), "one image file of dtype bytes in each record")
        return {self.column: ("uint8", (None, None, self.channels))}


class Resize(OfOne):
    """Pixels brought to one height and width.

    `uint8` or `float32`, `[height, width, channels]` or `[height, width]`; the dtype stays.
    `bilinear` averages over what it shrinks, as Pillow and torchvision do.
    """

    error_type = "bad_image"

    op: Literal["resize"]
    height: int = Field(ge=1, description="Rows of pixels.")
    width: int = Field(ge=1, description="Pixels of a row.")
    method: Literal["bilinear", "nearest"] = Field(
        default="bilinear", description="How pixels in between are found."
    )
    fit: Literal["stretch", "crop"] = Field(
        default="stretch", description="`crop` keeps proportions and cuts off what sticks out."
    )

    def types(self, *read: Type) -> dict[str, Type]:
        """Pixels of one height and width; the dtype stays."""
        ((dtype, shape),) = read
        need(dtype in ("uint8", "float32"), "pixels of dtype uint8 or float32")
        pixels = len(shape) == 2 or (len(shape) == 3 and shape[2] is not None)
        need(pixels, "pixels [height, width, channels] or [height, width]")
        return {self.column: (dtype, (self.height, self.width, *shape[2:]))}


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Normalize(OfOne):
    """`(value / divide_by - mean) / std`: numbers of any shape -> `float32` of that shape."""

    op: Literal["normalize"]
    mean: Finite | tuple[Finite, ...] = Field(
        default=0.0, description="One number, or one for each channel (the last axis)."
    )
    std: Finite | tuple[Finite, ...] = Field(
        default=1.0, description="One number above 0, or one for each channel."
    )
    divide_by: float = Field(
        default=255.0, gt=0, description="255 brings `uint8` to 0..1, as `mean` and `std` expect."
    )
    layout: Literal["hwc", "chw"] = Field(
        default="hwc", description="`chw` moves the channels to the front, for PyTorch and ONNX."
    )

    @field_validator("std")
    @classmethod
    def _above_zero(cls, std: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if not all(one > 0 for one in (std if isinstance(std, tuple) else (std,))):
            raise ValueError("expected standard deviations above 0")
        return std

    @property
    def is_elementwise(self) -> bool:
        """Whether each value stays in its place."""
        return self.layout == "hwc"

    @property
    def keeps_nan(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """float32; the layout "chw" moves the last axis to the front."""
        ((dtype, shape),) = read
        need(dtype in NUMBERS, "numbers")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if isinstance(values, tuple):
                fits = shape[-1:] == (len(values),)
                need(fits, f"a last axis of {len(values)}, as `{name}` has that many numbers")
        if self.layout == "chw":
            need(len(shape) == 3, "pixels [height, width, channels] for the layout chw")
            shape = (shape[2], *shape[:2])
        return {self.column: ("float32", shape)}
