"""Steps about values that rows lack, where a field of the record may lack them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.spec.column_types import Gaps, Type, need
from pipeline.spec.prepare.step import Elementwise, OfOne, check_value


class Fill(Elementwise):
    """One value wherever the column lacks one: `value` of the column's dtype; shape and dtype stay.

    It fills rows that lack the whole vector, and what is missing inside a vector of floats.
    """

    op: Literal["fill"]
    value: int | float | str | bool = Field(description="Stands where a value is missing.")

    def types(self, *read: Type) -> dict[str, Type]:
        """The column's own."""
        ((dtype, shape),) = read
        need(dtype != "bytes", "numbers, booleans or text")
        need(None not in shape, "a column without a variable axis; fill what it is made from")
        check_value(self.value, dtype)
        return {self.column: (dtype, shape)}

    def gaps(self, *read: Gaps) -> Gaps:
        """None is left."""
        return Gaps.NONE


class IsMissing(OfOne):
    """True where the column lacks a value, also inside a vector of floats: `bool` of its shape."""

    op: Literal["is_missing"]

    def types(self, *read: Type) -> dict[str, Type]:
        """Booleans of the same shape."""
        ((_, shape),) = read
        need(None not in shape, "a column without a variable axis")
        return {self.column: ("bool", shape)}

    def gaps(self, *read: Gaps) -> Gaps:
        """Each row has an answer."""
        return Gaps.NONE
