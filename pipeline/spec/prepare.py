"""The prepare steps of the ensemble file, one class for each kind of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self, cast

import numpy as np
from pydantic import Field, field_validator, model_validator

from pipeline.batch.tensors import INTEGERS
from pipeline.spec.column_types import (
    NUMBERS,
    Type,
    TypesError,
    joined_shape,
    need,
    need_common_dtype,
)
from pipeline.spec.label_file import labels_in
from pipeline.spec.model import ConstantInput
from pipeline.spec.op import Op
from pipeline.spec.record import DTypeName
from pipeline.spec.strict_model import Name

_MAX_TOKENIZER_CHARS = 8 << 20


class _PrepareOp(Op):
    stage = "prepare"
    error_type = "bad_value"


class _OfOne(_PrepareOp):
    of: Name = Field(description="A field, or the column of another prepare step.")


class Concat(_PrepareOp):
    """Columns joined along the last axis; a single value counts as an axis of length 1.

    Numbers, of the dtype that holds them all, or text: the columns of a table become the feature
    matrix of a model.
    """

    op: Literal["concat"]
    of: tuple[Name, ...] = Field(
        min_length=1, description="Columns that agree in all axes but the last."
    )

    @property
    def joins(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """One column, in the dtype that holds all values."""
        dtypes = [dtype for dtype, _ in read]
        numbers = {*dtypes} <= {*NUMBERS, "bool"}
        need(numbers or {*dtypes} == {"string"}, "numbers, or text only")
        shapes = [shape for _, shape in read]
        need(not any(None in shape for shape in shapes), "columns without a variable axis")
        dtype = need_common_dtype(dtypes, text=True, any_numbers=True)
        return {self.column: (dtype, joined_shape(shapes))}


class DecodeImage(_OfOne):
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


class Resize(_OfOne):
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


class Normalize(_OfOne):
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


class Scale(_OfOne):
    """`value * factor + offset`, or `min`..`max` brought to 0..1 (values outside go beyond).

    Numbers of any shape; the result is `float32`, or `float64` where `float32` cannot hold them.
    """

    op: Literal["scale"]
    factor: float = Field(default=1.0, allow_inf_nan=False, description="Multiplies.")
    offset: float = Field(default=0.0, allow_inf_nan=False, description="Is added then.")
    min: float | None = Field(default=None, allow_inf_nan=False, description="Becomes 0.")
    max: float | None = Field(default=None, allow_inf_nan=False, description="Becomes 1.")

    @model_validator(mode="after")
    def _one_way(self) -> Scale:
        given = self.model_fields_set
        by_range, by_factor = given & {"min", "max"}, given & {"factor", "offset"}
        if not by_range and not by_factor:
            raise ValueError("expected `factor`, `offset` or both, or `min` and `max`")
        if by_range and by_factor:
            raise ValueError("expected either `factor` and `offset`, or `min` and `max`")
        if by_range and (self.min is None or self.max is None or self.min >= self.max):
            raise ValueError("expected both `min` and `max`, and `max` greater than `min`")
        return self

    @property
    def is_elementwise(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """Floats of the same shape."""
        ((dtype, shape),) = read
        need(dtype in (*NUMBERS, "bool"), "numbers")
        return {self.column: (np.result_type(dtype, np.float32).name, shape)}


class OneHot(_OfOne):
    """A 1 at the position of the label, 0 elsewhere: `[...]` -> `float32[..., labels]`.

    Text, or integers. A value that is no label is a dead letter.
    """

    error_type = "unknown_label"

    op: Literal["one_hot"]
    labels: tuple[str | int, ...] | None = Field(
        default=None, description="The labels: all text, or all integers."
    )
    file: str | None = Field(
        default=None,
        description="Instead of `labels`: a text file with one label a line, a JSON list, or a "
        "JSON object of labels by index; "
        "relative to the ensemble file.",
    )
    depth: int | None = Field(
        default=None, ge=1, description="Instead of `labels`: the integers from 0 to `depth` - 1."
    )

    @model_validator(mode="after")
    def _one_list(self) -> OneHot:
        if [self.labels, self.file, self.depth].count(None) != 2:
            raise ValueError("expected one of `labels`, `file` and `depth`")
        if self.labels is not None:
            if not self.labels or len({type(label) for label in self.labels}) > 1:
                raise ValueError("expected at least one label, all text or all integers")
            if len(set(self.labels)) < len(self.labels):
                raise ValueError("found a label twice")
        return self

    @property
    def value_labels(self) -> Sequence[str | int]:
        """The labels; none while their file is not read."""
        return range(self.depth) if self.depth is not None else self.labels or ()

    def with_file_text(self, text: str) -> Self:
        """The step with the labels instead of the file."""
        labels = labels_in(text, str, int)
        if len(set(labels)) < len(labels):
            raise ValueError("holds a label twice")
        return self.model_copy(update={"labels": labels, "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """One more axis, as long as there are labels; any length while their file is not read."""
        ((dtype, shape),) = read
        if self.depth is not None:
            need(dtype in (*INTEGERS, "bool"), "integers, as it has a `depth`")
        elif self.labels and isinstance(self.labels[0], str):
            need(dtype == "string", "text, as its labels are")
        elif self.labels:
            need(dtype in INTEGERS, "integers, as its labels are")
        count = self.depth if self.labels is None else len(self.labels)
        return {self.column: ("float32", (*shape, count))}


class Cast(_OfOne):
    """Values as another dtype, of the same shape.

    Numbers and text both ways; text and `bytes` both ways (UTF-8). Nothing is rounded to an integer
    or cut to a range, and no integer is rounded to a float: what the dtype cannot hold, or text
    that is no number, is a dead letter.
    """

    op: Literal["cast"]
    dtype: DTypeName = Field(description="The dtype that it becomes.")

    @property
    def is_elementwise(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """The dtype asked for; the shape stays."""
        ((dtype, shape),) = read
        if "bytes" in (dtype, self.dtype):
            possible = {dtype, self.dtype} <= {"string", "bytes"}
        else:
            possible = self.dtype != "bool" or dtype != "string"
        need(possible, f"what can become {self.dtype}")
        return {self.column: (self.dtype, shape)}


class Lower(_OfOne):
    """Text in lower case; any shape."""

    op: Literal["lower"]

    @property
    def is_elementwise(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """Text of the same shape."""
        ((dtype, shape),) = read
        need(dtype == "string", "text")
        return {self.column: (dtype, shape)}


class Pad(_OfOne):
    """Rows of differing length brought to one: `[any, ...]` -> `[length, ...]`, same dtype."""

    error_type = "too_long"

    op: Literal["pad"]
    length: int = Field(ge=1, description="Length of the first axis.")
    value: int | float | str | bool | None = Field(
        default=None,
        description="Fills the end of shorter rows: 0, false or empty text by default.",
    )
    truncate: bool = Field(
        default=False, description="Cut longer rows; without it they are dead letters."
    )

    def types(self, *read: Type) -> dict[str, Type]:
        """Rows of one length; the dtype stays."""
        ((dtype, shape),) = read
        need(dtype != "bytes", "numbers, booleans or text")
        need(shape[:1] == (None,) and None not in shape[1:], "rows whose first axis alone varies")
        if self.value is not None:
            name = cast(DTypeName, dtype)
            try:
                ConstantInput.model_construct(value=self.value, dtype=name).array()
            except ValueError as error:
                raise TypesError(f"needs a `value` of its column's dtype ({error})") from None
        return {self.column: (dtype, (self.length, *shape[1:]))}


class Tokenize(_OfOne):
    """Text as the integers that a transformer reads: `string` -> `int64[any]`.

    By the `tokenizer.json` that Hugging Face models come with; its own settings of truncation and
    padding do not count.
    """

    op: Literal["tokenize"]
    file: str | None = Field(
        default=None, description="The `tokenizer.json`; relative to the ensemble file."
    )
    tokenizer: str | None = Field(
        default=None, description="Instead of `file`: the JSON itself, as text."
    )
    mask: Name | None = Field(
        default=None,
        description="Name of a second column of the same shape: 1 for tokens, 0 for padding.",
    )
    max_length: int | None = Field(
        default=None, ge=1, description="Most tokens of a text; what comes after is cut off."
    )
    pad: bool = Field(
        default=False, description="Fill every text up to `max_length`: `int64[max_length]`."
    )
    pad_id: int = Field(default=0, ge=0, description="The token that fills.")
    special_tokens: bool = Field(
        default=True, description="Add the tokens that mark begin and end, as the file has them."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Tokenize:
        if (self.file is None) == (self.tokenizer is None):
            raise ValueError("expected either `file` or `tokenizer`")
        if self.pad and self.max_length is None:
            raise ValueError("key 'pad' needs the key 'max_length'")
        return self

    def columns_written(self) -> list[str]:
        """The tokens, and the mask when it is asked for."""
        return [self.column] if self.mask is None else [self.column, self.mask]

    def with_file_text(self, text: str) -> Self:
        """The step with the tokenizer instead of the file; it travels with the job."""
        if len(text) > _MAX_TOKENIZER_CHARS:
            raise ValueError(
                f"holds {len(text):,} characters, expected at most {_MAX_TOKENIZER_CHARS:,}: it "
                "travels with the job"
            )
        return self.model_copy(update={"tokenizer": text, "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """Tokens, and the mask like them."""
        need(read == (("string", ()),), "one text in each record")
        tokens: Type = ("int64", (self.max_length if self.pad else None,))
        return dict.fromkeys(self.columns_written(), tokens)


PrepareStep = (
    Concat | DecodeImage | Resize | Normalize | Scale | OneHot | Cast | Lower | Pad | Tokenize
)
AnyPrepare = Annotated[PrepareStep, Field(discriminator="op")]
