"""A prepare step of tensors that came as bytes."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from pipeline.batch.tensors import Shape
from pipeline.spec.column_types import TEXTS, Type, need
from pipeline.spec.prepare.step import OfOne
from pipeline.spec.record import DTypeName


class DecodeRaw(OfOne):
    """Tensors in bytes, value after value, the last axis fastest: `bytes` -> `dtype[shape]`.

    As `tf.io.decode_raw`, numpy's `tobytes` and a `ByteBuffer` have them. Another number of bytes,
    a float that is not finite, and a boolean other than 0 and 1 are dead letters.
    """

    op: Literal["decode_raw"]
    dtype: DTypeName = Field(description="Of the values, which are numbers or booleans.")
    shape: tuple[Annotated[int, Field(ge=0)] | None, ...] = Field(
        default=(None,),
        description="Axis lengths; [] is a single value. `null` is one axis whose length the "
        "number of bytes tells.",
    )
    byte_order: Literal["little", "big"] = Field(
        default="little", description="Which byte of a value comes first: its least, or greatest."
    )

    @field_validator("dtype")
    @classmethod
    def _of_one_size(cls, dtype: DTypeName) -> DTypeName:
        if dtype in TEXTS:
            sized = ", ".join(name for name in get_args(DTypeName) if name not in TEXTS)
            raise ValueError(f"found {dtype}, whose values have no size, expected one of {sized}")
        return dtype

    @field_validator("shape")
    @classmethod
    def _length_can_be_told(cls, shape: Shape) -> Shape:
        if shape.count(None) > 1:
            raise ValueError(f"only one axis may vary, found {shape.count(None)} of `null`")
        if None in shape and 0 in shape:
            raise ValueError("an axis of 0 leaves no bytes to tell the length of `null` by")
        return shape

    def types(self, *read: Type) -> dict[str, Type]:
        """What its keys say."""
        need(read == (("bytes", ()),), "one value of dtype bytes in each record")
        return {self.column: (self.dtype, self.shape)}
