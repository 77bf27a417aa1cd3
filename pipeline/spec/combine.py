"""The combine steps of the ensemble file, one class for each kind of parameters."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.spec.column_types import (
    Gaps,
    Type,
    floating,
    joined_shape,
    need,
    need_common_dtype,
    need_last_axis,
    one_shape,
    widened,
)
from pipeline.spec.label_file import FILE, labels_in
from pipeline.spec.op import Op
from pipeline.spec.strict_model import Name


class _CombineOp(Op):
    stage = "combine"
    error_type = "combine_error"


Several = Annotated[tuple[Name, ...], Field(min_length=1)]


class Reduce(_CombineOp):
    """Mean, sum... over several columns, or over the last axis of one.

    `of: [a, b]` combines columns of one shape element by element. `of: a` reduces the last axis of
    column a, which then must have one.
    """

    op: Literal["mean", "sum", "min", "max", "median", "product"]
    of: Name | Several = Field(description="One column, or a list of columns of one shape.")

    def types(self, *read: Type) -> dict[str, Type]:
        """Minimum and maximum keep the dtype, mean and median are floating, the others wider."""
        dtypes, shapes = zip(*read, strict=True)
        is_mean = self.op in ("mean", "median")
        dtype = need_common_dtype(dtypes, any_numbers=is_mean)
        shape = one_shape(shapes)
        if isinstance(self.of, str):
            need_last_axis(shape, 0 if self.op in ("sum", "product") else 1)
            shape = shape[:-1]
        if is_mean:
            dtype = floating(dtype)
        elif self.op in ("sum", "product"):
            dtype = widened(dtype)
        return {self.column: (dtype, shape)}


class WeightedMean(_CombineOp):
    """Sum of weight times column, divided by the sum of the weights."""

    op: Literal["weighted_mean"]
    of: Several = Field(description="Columns of one shape.")
    weights: tuple[float, ...] = Field(description="One number of at least 0 for each column.")

    @model_validator(mode="after")
    def _one_weight_each(self) -> WeightedMean:
        _check_weights(self.weights, self.of)
        return self

    def types(self, *read: Type) -> dict[str, Type]:
        """Floating, of the columns' shape."""
        dtypes, shapes = zip(*read, strict=True)
        dtype = need_common_dtype(dtypes, any_numbers=True)
        return {self.column: (floating(dtype), one_shape(shapes))}


class Vote(_CombineOp):
    """The value that most columns hold; a tie goes to the column named first."""

    op: Literal["vote"]
    of: Several = Field(description="Columns of one shape: labels as integers, text or booleans.")
    weights: tuple[float, ...] | None = Field(
        default=None, description="Votes of each column; one each when absent."
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> Vote:
        if self.weights is not None:
            _check_weights(self.weights, self.of)
        return self

    def types(self, *read: Type) -> dict[str, Type]:
        """The columns' own; floats are refused: equal probabilities are no agreement."""
        dtypes, shapes = zip(*read, strict=True)
        labels = not any(dtype in FLOATS for dtype in dtypes)
        need(labels, "labels (integers, text or booleans)")
        return {self.column: (need_common_dtype(dtypes, text=True), one_shape(shapes))}


class ScoreOp(_CombineOp):
    """`argmax` and `softmax` work along the last axis, `sigmoid` on each value."""

    op: Literal["argmax", "softmax", "sigmoid"]
    of: Name = Field(description="One column.")

    @property
    def is_elementwise(self) -> bool:
        """The others look along the last axis."""
        return self.op == "sigmoid"

    @property
    def keeps_nan(self) -> bool:
        """Where each value is looked at by itself."""
        return self.op == "sigmoid"

    @property
    def chooses(self) -> bool:
        """Sigmoid looks at each value by itself."""
        return self.op != "sigmoid"

    @property
    def is_choice(self) -> bool:
        """Softmax writes scores again."""
        return self.op == "argmax"

    def types(self, *read: Type) -> dict[str, Type]:
        """Positions along the last axis, or floating values of the same shape."""
        ((dtype, shape),) = read
        need_common_dtype([dtype])
        if self.op != "sigmoid":
            need_last_axis(shape, 1)
        made = ("int64", shape[:-1]) if self.op == "argmax" else (floating(dtype), shape)
        return {self.column: made}


class TopK(_CombineOp):
    """The positions of the k highest values of the last axis, highest first."""

    op: Literal["top_k"]
    of: Name = Field(description="One column.")
    k: int = Field(ge=1, description="How many.")
    scores: Name | None = Field(
        default=None, description="Name of a second column with the values themselves."
    )

    @property
    def chooses(self) -> bool:
        """Whatever its keys."""
        return True

    @property
    def is_ordered(self) -> bool:
        """Whatever its keys."""
        return True

    def columns_written(self) -> list[str]:
        """The positions, and the values when they are asked for."""
        return [self.column] if self.scores is None else [self.column, self.scores]

    def types(self, *read: Type) -> dict[str, Type]:
        """Positions, and values in the column's dtype; k along the last axis."""
        ((dtype, shape),) = read
        need_common_dtype([dtype])
        need_last_axis(shape, self.k)
        shape = (*shape[:-1], self.k)
        made: tuple[Type, Type] = ("int64", shape), (dtype, shape)
        return dict(zip(self.columns_written(), made, strict=False))


class Threshold(_CombineOp):
    """True where the value is at least `value`."""

    op: Literal["threshold"]
    of: Name = Field(description="One column of numbers.")
    value: float = Field(allow_inf_nan=False, description="The threshold itself counts as true.")

    @property
    def is_elementwise(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """Booleans of the same shape."""
        ((dtype, shape),) = read
        need_common_dtype([dtype])
        return {self.column: ("bool", shape)}


class Round(_CombineOp):
    """Values rounded to a number of decimals (half to even)."""

    op: Literal["round"]
    of: Name = Field(description="One column of numbers.")
    decimals: int = Field(default=0, description="Digits after the point.")

    @property
    def is_elementwise(self) -> bool:
        """Whatever its keys."""
        return True

    @property
    def keeps_nan(self) -> bool:
        """Whatever its keys."""
        return True

    def types(self, *read: Type) -> dict[str, Type]:
        """The same, but integers rounded to tens, hundreds... are wide: int8 holds no 130."""
        ((dtype, shape),) = read
        need_common_dtype([dtype])
        is_wider = self.decimals < 0 and dtype in INTEGERS
        return {self.column: (widened(dtype) if is_wider else dtype, shape)}


class Concat(_CombineOp):
    """Columns joined along the last axis; a single value counts as an axis of length 1."""

    op: Literal["concat"]
    of: Several = Field(description="Columns that agree in all axes but the last.")

    @property
    def joins(self) -> bool:
        """Whatever its keys."""
        return True

    def gaps(self, *read: Gaps) -> Gaps:
        """What a row lacks is NaN in its vector; a row of other values than floats is rejected."""
        return Gaps.INSIDE if any(read) else Gaps.NONE

    def types(self, *read: Type) -> dict[str, Type]:
        """One column, in the dtype that holds all values."""
        dtypes, shapes = zip(*read, strict=True)
        return {self.column: (need_common_dtype(dtypes, text=True), joined_shape(shapes))}


class Lookup(_CombineOp):
    """The label at each position: text for integers. A position without label is a dead letter."""

    op: Literal["lookup"]
    of: Name = Field(description="One column of integers.")
    labels: tuple[str, ...] | None = Field(default=None, description="The labels, first is 0.")
    file: str | None = Field(
        default=None,
        description=FILE,
    )

    @model_validator(mode="after")
    def _labels_or_file(self) -> Lookup:
        if (self.labels is None) == (self.file is None):
            raise ValueError("expected either `labels` or `file`")
        return self

    def with_file_text(self, text: str) -> Self:
        """The step with the labels instead of the file."""
        return self.model_copy(update={"labels": labels_in(text, str), "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """Text of the same shape."""
        ((dtype, shape),) = read
        need_common_dtype([dtype])
        need(dtype not in FLOATS, "integers")
        return {self.column: ("string", shape)}


def _check_weights(weights: tuple[float, ...], of: tuple[str, ...]) -> None:
    if len(weights) != len(of):
        raise ValueError(f"found {len(weights)} weights for {len(of)} columns")
    if not all(np.isfinite(w) and w >= 0 for w in weights) or sum(weights) == 0:
        raise ValueError(f"weights must be at least 0 and not all 0, found {list(weights)}")


CombineStep = Reduce | WeightedMean | Vote | ScoreOp | TopK | Threshold | Round | Concat | Lookup
AnyCombine = Annotated[CombineStep, Field(discriminator="op")]
