"""Prepare steps of shapes: columns joined, rows filled to one length."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.spec.column_types import (
    NUMBERS,
    Gaps,
    Type,
    joined_shape,
    need,
    need_common_dtype,
)
from pipeline.spec.prepare.step import OfOne, PrepareOp, check_value
from pipeline.spec.strict_model import Name


class Concat(PrepareOp):
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

    def gaps(self, *read: Gaps) -> Gaps:
        """What a row lacks is NaN in its vector."""
        return Gaps.INSIDE if any(read) else Gaps.NONE

    def types(self, *read: Type) -> dict[str, Type]:
        """One column, in the dtype that holds all values."""
        dtypes = [dtype for dtype, _ in read]
        numbers = {*dtypes} <= {*NUMBERS, "bool"}
        need(numbers or {*dtypes} == {"string"}, "numbers, or text only")
        shapes = [shape for _, shape in read]
        need(not any(None in shape for shape in shapes), "columns without a variable axis")
        dtype = need_common_dtype(dtypes, text=True, any_numbers=True)
        return {self.column: (dtype, joined_shape(shapes))}


class Pad(OfOne):
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
            check_value(self.value, dtype)
        return {self.column: (dtype, (self.length, *shape[1:]))}
