"""What all prepare steps share."""

from __future__ import annotations

from pydantic import Field

from pipeline.spec.op import Op
from pipeline.spec.strict_model import Name


class PrepareOp(Op):
    """A step under `prepare:`; a value that it cannot take is bad unless it says otherwise."""

    stage = "prepare"
    error_type = "bad_value"


class OfOne(PrepareOp):
    """A step that reads one column."""

    of: Name = Field(description="A field, or the column of another prepare step.")
