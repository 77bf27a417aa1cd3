"""The combine steps of the ensemble file, one class for each kind of parameters.

What the operations compute is in :mod:`pipeline.core.combine`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class StrictModel(BaseModel):
    """Base of everything in the ensemble file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _CombineBase(StrictModel):
    column: Name = Field(description="Name of the column that it produces.")

    def columns_read(self) -> list[str]:
        """The columns that it reads, in the order of the file."""
        of: str | tuple[str, ...] = getattr(self, "of")  # noqa: B009  # every subclass has it
        return [of] if isinstance(of, str) else list(of)

    def columns_written(self) -> list[str]:
        """The columns that it produces."""
        return [self.column]


Several = Annotated[tuple[Name, ...], Field(min_length=1)]


class Reduce(_CombineBase):
    """Mean, sum... over several columns, or over the last axis of one.

    `of: [a, b]` combines columns of one shape element by element. `of: a` reduces the last axis of
    column a, which then must have one.
    """

    op: Literal["mean", "sum", "min", "max", "median", "product"]
    of: Name | Several = Field(description="One column, or a list of columns of one shape.")


class WeightedMean(_CombineBase):
    """Sum of weight times column, divided by the sum of the weights."""

    op: Literal["weighted_mean"]
    of: Several = Field(description="Columns of one shape.")
    weights: tuple[float, ...] = Field(description="One number of at least 0 for each column.")

    @model_validator(mode="after")
    def _one_weight_each(self) -> WeightedMean:
        _check_weights(self.weights, self.of)
        return self


class Vote(_CombineBase):
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


class Elementwise(_CombineBase):
    """`argmax` and `softmax` work along the last axis, `sigmoid` on each value."""

    op: Literal["argmax", "softmax", "sigmoid"]
    of: Name = Field(description="One column.")


class TopK(_CombineBase):
    """The positions of the k highest values of the last axis, highest first."""

    op: Literal["top_k"]
    of: Name = Field(description="One column.")
    k: int = Field(ge=1, description="How many.")
    scores: Name | None = Field(
        default=None, description="Name of a second column with the values themselves."
    )

    def columns_written(self) -> list[str]:
        """The positions, and the values when they are asked for."""
        return [self.column] if self.scores is None else [self.column, self.scores]


class Threshold(_CombineBase):
    """True where the value is at least `value`."""

    op: Literal["threshold"]
    of: Name = Field(description="One column of numbers.")
    value: float = Field(allow_inf_nan=False, description="The threshold itself counts as true.")


class Round(_CombineBase):
    """Values rounded to a number of decimals (half to even)."""

    op: Literal["round"]
    of: Name = Field(description="One column of numbers.")
    decimals: int = Field(default=0, description="Digits after the point.")


class Concat(_CombineBase):
    """Columns joined along the last axis; a single value counts as an axis of length 1."""

    op: Literal["concat"]
    of: Several = Field(description="Columns that agree in all axes but the last.")


class Lookup(_CombineBase):
    """The label at each position: text for integers. A position without label is a dead letter."""

    op: Literal["lookup"]
    of: Name = Field(description="One column of integers.")
    labels: tuple[str, ...] | None = Field(default=None, description="The labels, first is 0.")
    file: str | None = Field(
        default=None,
        description="Instead of `labels`: a text file with one label a line, or a JSON list; "
        "relative to the ensemble file.",
    )

    @model_validator(mode="after")
    def _labels_or_file(self) -> Lookup:
        if (self.labels is None) == (self.file is None):
            raise ValueError("expected either `labels` or `file`")
        return self


def _check_weights(weights: tuple[float, ...], of: tuple[str, ...]) -> None:
    if len(weights) != len(of):
        raise ValueError(f"found {len(weights)} weights for {len(of)} columns")
    if not all(np.isfinite(w) and w >= 0 for w in weights) or sum(weights) == 0:
        raise ValueError(f"weights must be at least 0 and not all 0, found {list(weights)}")


CombineStep = (
    Reduce | WeightedMean | Vote | Elementwise | TopK | Threshold | Round | Concat | Lookup
)
AnyCombine = Annotated[CombineStep, Field(discriminator="op")]
