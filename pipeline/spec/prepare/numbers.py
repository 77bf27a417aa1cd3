"""Prepare steps of numbers: scaled, limited, in buckets, of another dtype."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.spec.column_types import NUMBERS, Type, floating, need
from pipeline.spec.prepare.step import Elementwise
from pipeline.spec.record import DTypeName


class Scale(Elementwise):
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
    def keeps_nan(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """Floats of the same shape."""
        ((dtype, shape),) = read
        need(dtype in (*NUMBERS, "bool"), "numbers")
        return {self.column: (np.result_type(dtype, np.float32).name, shape)}


Limit = Annotated[int | float, Field(allow_inf_nan=False)]


class Clip(Elementwise):
    """Values below `min` become `min`, those above `max` become `max`; dtype and shape stay."""

    op: Literal["clip"]
    min: Limit | None = Field(default=None, description="The least value.")
    max: Limit | None = Field(default=None, description="The greatest value.")

    @model_validator(mode="after")
    def _in_order(self) -> Clip:
        if self.min is None and self.max is None:
            raise ValueError("expected `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"expected a `max` of at least `min`, which is {self.min}")
        return self

    @property
    def keeps_nan(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """The same type."""
        ((dtype, shape),) = read
        need(dtype in NUMBERS, "numbers")
        for limit in (self.min, self.max):
            if limit is None:
                continue
            if dtype in INTEGERS:
                bounds = np.iinfo(dtype)
                held = limit == int(limit) and int(bounds.min) <= limit <= int(bounds.max)
            else:
                held = abs(limit) <= float(np.finfo(dtype).max)
            need(held, f"a dtype that can hold {limit}")
        return {self.column: (dtype, shape)}


class Log1p(Elementwise):
    """The natural logarithm of 1 + value, as numpy's `log1p`; shape stays.

    `float64` for `float64` and integers, else `float32`. A value of -1 or less is a dead letter.
    """

    op: Literal["log1p"]

    @property
    def keeps_nan(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """Floats of the same shape."""
        ((dtype, shape),) = read
        need(dtype in NUMBERS, "numbers")
        return {self.column: (floating(dtype), shape)}


class Bucketize(Elementwise):
    """Numbers as the numbers of their buckets: `[...]` -> `int64[...]`, 0 to as many as boundaries.

    `closed: left`: bucket i has `boundaries[i-1] <= value < boundaries[i]`, as TensorFlow's
    Bucketize, Keras' `Discretization` and numpy's `digitize` have it; `closed: right`:
    `boundaries[i-1] < value <= boundaries[i]`, as `digitize(right=True)` and pandas' `cut`.
    Boundaries are rounded to the floats of the column, so that a value 0.7 is at the boundary 0.7.
    """

    op: Literal["bucketize"]
    boundaries: tuple[Limit, ...] = Field(min_length=1, description="In ascending order.")
    closed: Literal["left", "right"] = Field(
        default="left", description="Which boundary belongs to a bucket."
    )

    @field_validator("boundaries")
    @classmethod
    def _ascending(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        for before, after in pairwise(boundaries):
            if before >= after:
                raise ValueError(f"found {after} behind {before}, expected ascending numbers")
        return boundaries

    def types(self, *read: Type) -> dict[str, Type]:
        """int64 of the same shape."""
        ((dtype, shape),) = read
        need(dtype in NUMBERS, "numbers")
        if dtype in FLOATS:
            with np.errstate(over="ignore"):
                rounded = np.array(self.boundaries, dtype=floating(dtype))
            need(bool(np.isfinite(rounded).all()), "a dtype that can hold its boundaries")
            need(len({*rounded.tolist()}) == len(rounded), "a dtype in which its boundaries differ")
        return {self.column: ("int64", shape)}


class Cast(Elementwise):
    """Values as another dtype, of the same shape.

    Numbers and text both ways; text and `bytes` both ways (UTF-8). Nothing is rounded to an integer
    or cut to a range, and no integer is rounded to a float: what the dtype cannot hold, or text
    that is no number, is a dead letter.
    """

    op: Literal["cast"]
    dtype: DTypeName = Field(description="The dtype that it becomes.")

    @property
    def keeps_nan(self) -> bool:
        """No integer or text means that a value is missing."""
        return self.dtype in FLOATS

    def types(self, *read: Type) -> dict[str, Type]:
        """The dtype asked for; the shape stays."""
        ((dtype, shape),) = read
        if "bytes" in (dtype, self.dtype):
            possible = {dtype, self.dtype} <= {"string", "bytes"}
        else:
            possible = self.dtype != "bool" or dtype != "string"
        need(possible, f"what can become {self.dtype}")
        return {self.column: (self.dtype, shape)}
