"""Features of boosters that are categories, which their files number: a value becomes its code.

XGBoost and LightGBM do the same with a DataFrame whose columns are of pandas' type for categories.
Only columns that are bound by name are read so; a matrix has the codes already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.backends.text import as_str
from pipeline.batch.columns import Array
from pipeline.batch.tensors import FLOATS, INTEGERS, Shape, Taken, TensorSpec
from pipeline.errors import RowsError

_NUMBERS = Taken("categories that are numbers", ("bool", *INTEGERS, *FLOATS))


@dataclass(frozen=True)
class CategoryCodes:
    """The categories of one feature.

    Attributes:
      labels: all text, or all numbers; the place of each is its code.
      unknown_is_missing: whether a value that is no label counts as missing, as LightGBM has it;
        otherwise it is an error of its row, as XGBoost has it.
    """

    labels: tuple[Any, ...]
    unknown_is_missing: bool

    def spec(self, tensor: str, dims: Shape) -> TensorSpec:
        """What the feature's input says of itself."""
        if all(isinstance(label, str) for label in self.labels):
            return TensorSpec(tensor, "string", dims, values=self.labels)
        return TensorSpec(tensor, None, dims, values=self.labels, taken=_NUMBERS)

    def codes(self, tensor: str, column: Array) -> Array:
        """The code of each value, float32 [rows]; NaN for one that is missing.

        Raises:
          RowsError: rows whose value is no label, where that is an error.
        """
        values = (as_str(column) if column.dtype.kind == "O" else column).tolist()
        known = {label: float(code) for code, label in enumerate(self.labels)}
        codes = np.array([known.get(value, np.nan) for value in values], dtype=np.float32)
        if not self.unknown_is_missing:
            unknown = {
                row: f"found {values[row]!r} in '{tensor}', which is none of its categories"
                for row in np.flatnonzero(np.isnan(codes)).tolist()
                if not _is_missing(values[row])
            }
            if unknown:
                raise RowsError(unknown)
        return codes


def category_codes(labels: Sequence[Any], *, unknown_is_missing: bool) -> CategoryCodes | None:
    """The codes of a feature whose labels are plain text or numbers; None of others."""
    kinds = {str if isinstance(label, str) else type(label) for label in labels}
    if not labels or not (kinds == {str} or kinds <= {int, float, bool}):
        return None
    return CategoryCodes(tuple(labels), unknown_is_missing)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
