"""Prepare steps of numbers: scaled, of another dtype."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.spec.column_types import NUMBERS, Type, need
from pipeline.spec.prepare.step import OfOne
from pipeline.spec.record import DTypeName


class Scale(OfOne):
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


class Cast(OfOne):
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
