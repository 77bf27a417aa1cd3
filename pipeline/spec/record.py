"""The `record` of the ensemble file, the form of the input, as typed, immutable values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.batch.tensors import Shape
from pipeline.spec.strict_model import Name, StrictModel

DTypeName = Literal[
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bool",
    "string",
    "bytes",
]


class FieldSpec(StrictModel):
    """One field of a record that models read."""

    dtype: DTypeName = Field(description="Type of its values. `bytes` is base64 text in JSON.")
    shape: tuple[Annotated[int, Field(ge=0)] | None, ...] = Field(
        default=(),
        description="Axis lengths; [] or absent is a single value. One axis may be `null`: its "
        "length then varies from record to record.",
    )

    @field_validator("shape")
    @classmethod
    def _one_variable_axis(cls, shape: Shape) -> Shape:
        if shape.count(None) > 1:
            raise ValueError(f"only one axis may vary, found {shape.count(None)} of `null`")
        return shape


class RecordSpec(StrictModel):
    """What a record looks like."""

    source: Literal["image", "raw"] | None = Field(
        default=None,
        description="`image`: every input file is a record, an image; its id is its path, and the "
        "only field, of dtype `bytes`, holds the file. `raw`: records are not decoded; the only "
        "field, of dtype `bytes`, holds a line of a file, a message of a TFRecord file or of "
        "Pub/Sub as it is, for a model that parses it; the id is its hash. Without it, "
        "`--input_format` says what files hold.",
    )
    id: str | None = Field(
        default=None,
        description="Field that holds the record's id: text or integer; larger integers, "
        "decimals and UUIDs are text. Ids are carried, not "
        "deduplicated. Without it, the id is a hash of the payload.",
    )
    fields: dict[Name, FieldSpec] = Field(
        min_length=1, description="The fields that models read, each a column of the batch."
    )

    @model_validator(mode="after")
    def _source_is_one_field(self) -> RecordSpec:
        if self.source is None:
            return self
        if self.id is not None:
            otherwise = "the file's path" if self.source == "image" else "a hash of the record"
            raise ValueError(
                f"found the key 'id'; with `source: {self.source}` the id is {otherwise}"
            )
        if [(field.dtype, field.shape) for field in self.fields.values()] != [("bytes", ())]:
            raise ValueError(
                f"found other fields, expected with `source: {self.source}` exactly one, of dtype "
                f"bytes without a shape, such as `fields: {{{self.source}: {{dtype: bytes}}}}`"
            )
        return self
