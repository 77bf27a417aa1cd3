"""What all prepare steps share."""

from __future__ import annotations

from typing import cast

from pydantic import Field

from pipeline.spec.column_types import TypesError
from pipeline.spec.inputs import ConstantInput
from pipeline.spec.op import Op
from pipeline.spec.record import DTypeName
from pipeline.spec.strict_model import Name


class PrepareOp(Op):
    """A step under `prepare:`; a value that it cannot take is bad unless it says otherwise."""

    stage = "prepare"
    error_type = "bad_value"


class OfOne(PrepareOp):
    """A step that reads one column."""

    of: Name = Field(description="A field, or the column of another prepare step.")


class Elementwise(OfOne):
    """A step that computes each value of one column by itself, and leaves it in its place."""

    @property
    def is_elementwise(self) -> bool:
        """Whatever its keys."""
        return True


def check_value(value: int | float | str | bool, dtype: str) -> None:
    """Makes sure that a column of some dtype can hold a step's `value`.

    Raises:
      TypesError: it cannot.
    """
    try:
        ConstantInput.model_construct(value=value, dtype=cast(DTypeName, dtype)).array()
    except ValueError as error:
        raise TypesError(f"needs a `value` of its column's dtype ({error})") from None
