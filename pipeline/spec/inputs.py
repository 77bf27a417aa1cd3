"""The binding of a model's input: a column, or a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, model_validator

from pipeline.batch import casts
from pipeline.batch.tensors import numpy_dtype
from pipeline.spec.record import DTypeName
from pipeline.spec.strict_model import Name, StrictModel


class ColumnInput(StrictModel):
    """A model input that is fed from a column."""

    column: Name = Field(description="Record field or another model's output.")
    pad_value: int | float | str | bool | None = Field(
        default=None,
        description="Fills rows of different length up to the longest of the batch. Without it, "
        "rows are grouped by length and the model is called once for each group.",
    )
    position: int | None = Field(
        default=None,
        ge=0,
        description="For a model of tables whose file has no names: which of its features the "
        "column is, from 0. `X: [age, fare]` sets it.",
    )


class ConstantInput(StrictModel):
    """A model input that is the same for every row and has no batch axis."""

    value: Any = Field(description="Number, text, boolean or nested list of them.")
    dtype: DTypeName = Field(description="Type of the tensor.")

    @model_validator(mode="after")
    def _value_has_dtype(self) -> ConstantInput:
        self.array()
        return self

    def array(self) -> np.ndarray[Any, Any]:
        """The value as an array of its dtype.

        Raises:
          ValueError: the dtype cannot hold the value unchanged.
        """
        wrong = ValueError(f"{self.value!r} is not a {self.dtype}")
        try:
            with np.errstate(over="ignore"):  # found below
                array = np.asarray(self.value, dtype=numpy_dtype(self.dtype))
            plain = np.asarray(self.value)
        except (ValueError, OverflowError, TypeError):
            raise wrong from None
        if self.dtype in ("bool", "string", "bytes"):
            kinds = {"bool": (bool,), "string": (str,), "bytes": (str, bytes)}[self.dtype]
            if not all(isinstance(item, kinds) for item in plain.ravel().tolist()):
                raise wrong
        elif (
            plain.dtype.kind not in "iuf"
            or np.isnan(plain).any()
            or casts.lost(plain, self.dtype) is not None
        ):
            raise wrong
        return array
