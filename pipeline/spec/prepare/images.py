"""Prepare steps of pictures: files become pixels, of one size, as models read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.batch.tensors import Shape
from pipeline.spec.column_types import NUMBERS, Type, need
from pipeline.spec.prepare.step import OfOne


class DecodeImage(OfOne):
    """Image files as pixels, the first picture in each, upright by their EXIF.

    JPEG, PNG, WebP, BMP, GIF, TIFF, and AVIF where Pillow has it. 16 bits become 8.

    `bytes` -> `uint8[any, any, channels]`: rows, columns, colours. Transparency is dropped.
    """

    error_type = "bad_image"

    op: Literal["decode_image"]
    channels: int = Field(default=3, description="3 for colour, 1 for grey.")
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=178_956_970,  # Pillow takes no more
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


Method = Literal["bilinear", "nearest", "bicubic", "area"]


class Resize(OfOne):
    """Pixels brought to one height and width, or to the `size` of their shorter side.

    `uint8` or `float32`, `[height, width, channels]` or `[height, width]`; the dtype stays, `uint8`
    is rounded. What shrinks is averaged, as Pillow, torchvision and timm do. `antialias: false` is
    `tf.image.resize` and Keras' `Resizing` as they are by default: `float32`, not rounded, but for
    `nearest`.
    """

    error_type = "bad_image"

    op: Literal["resize"]
    height: int | None = Field(default=None, ge=1, description="Rows of pixels.")
    width: int | None = Field(default=None, ge=1, description="Pixels of a row.")
    size: int | None = Field(
        default=None, ge=1, description="With `fit: shorter_side`: pixels of the shorter side."
    )
    method: Method = Field(
        default="bilinear",
        description="How pixels in between are found. `area`: the mean of what a pixel covers.",
    )
    antialias: bool = Field(
        default=True,
        description="`false`: of what is shrunk, only the nearest pixels count, as in TensorFlow.",
    )
    fit: Literal["stretch", "crop", "shorter_side"] = Field(
        default="stretch",
        description="`crop` keeps proportions and cuts off what sticks out; `shorter_side` keeps "
        "them and all of the picture, for a `center_crop`.",
    )

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Resize:
        given = [k for k in ("height", "width", "size") if getattr(self, k) is not None]
        wanted = ["size"] if self.fit == "shorter_side" else ["height", "width"]
        if given != wanted:
            raise ValueError(
                f"`fit: {self.fit}` needs {_words(wanted)}, found {_words(given) or 'neither'}"
            )
        return self

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture is brought to; those of torchvision's `Resize`.

        Args:
          height: of the picture, at least 1.
          width: the same.
        """
        if self.height is not None and self.width is not None:
            return self.height, self.width
        size = self.size or 1
        longer = size * max(height, width) // min(height, width)
        return (size, longer) if height <= width else (longer, size)

    def types(self, *read: Type) -> dict[str, Type]:
        """Pixels of one height and width, if these are given."""
        ((dtype, shape),) = read
        need(dtype in ("uint8", "float32"), "pixels of dtype uint8 or float32")
        need_pixels(shape)
        made = "float32" if not self.antialias and self.method != "nearest" else dtype
        return {self.column: (made, (self.height, self.width, *shape[2:]))}


class CenterCrop(OfOne):
    """The middle of a picture: `[height, width, channels]` or `[height, width]` of any dtype.

    It changes no value. A smaller picture is a dead letter.
    """

    error_type = "bad_image"

    op: Literal["center_crop"]
    height: int = Field(ge=1, description="Rows of pixels that stay.")
    width: int = Field(ge=1, description="Pixels of a row that stay.")
    rounding: Literal["half_even", "down"] = Field(
        default="half_even",
        description="Where an odd number of pixels is cut off, one side loses one more: the first "
        "by turns with the last as torchvision and timm have it, or the last (`down`: Keras' "
        "`CenterCrop`, ONNX' `CenterCropPad`).",
    )

    def types(self, *read: Type) -> dict[str, Type]:
        """Pixels of that height and width; the dtype stays."""
        ((dtype, shape),) = read
        need_pixels(shape)
        need(
            all(
                n is None or n >= least
                for n, least in zip(shape, (self.height, self.width), strict=False)
            ),
            f"pictures of at least {self.height} x {self.width}",
        )
        return {self.column: (dtype, (self.height, self.width, *shape[2:]))}


def need_pixels(shape: Shape) -> None:
    """Makes sure that rows of a shape are pictures.

    Raises:
      TypesError: they are not.
    """
    pixels = len(shape) == 2 or (len(shape) == 3 and shape[2] is not None)
    need(pixels, "pixels [height, width, channels] or [height, width]")


def _words(keys: Sequence[str]) -> str:
    return " and ".join(f"`{key}`" for key in keys)


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Normalize(OfOne):
    """`(value / divide_by - mean) / std`: numbers of any shape -> `float32` of that shape.

    With `order: bgr`, the channels' `mean` and `std` are in that order, too.
    """

    op: Literal["normalize"]
    mean: Finite | tuple[Finite, ...] = Field(
        default=0.0, description="One number, or one for each channel (the last axis)."
    )
    std: Finite | tuple[Finite, ...] = Field(
        default=1.0, description="One number above 0, or one for each channel."
    )
    divide_by: Finite = Field(
        default=255.0, gt=0, description="255 brings `uint8` to 0..1, as `mean` and `std` expect."
    )
    layout: Literal["hwc", "chw"] = Field(
        default="hwc", description="`chw` moves the channels to the front, for PyTorch and ONNX."
    )
    order: Literal["rgb", "bgr"] = Field(
        default="rgb",
        description="`bgr` puts the last of three channels first, for Keras' older models (its "
        "mode `caffe`) and what OpenCV read.",
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
        return self.layout == "hwc" and self.order == "rgb"

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
        if self.order == "bgr":
            need(shape[-1:] == (3,), "a last axis of 3 for the order bgr")
        if self.layout == "chw":
            need(len(shape) == 3, "pixels [height, width, channels] for the layout chw")
            shape = (shape[2], *shape[:2])
        return {self.column: ("float32", shape)}
