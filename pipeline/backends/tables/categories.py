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

_INFOS = "feature_infos="
"""Of a LightGBM file: of each feature its range, ``[0:1]``, or the codes that it has, ``0:1:2``."""
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

    @property
    def texts(self) -> tuple[str, ...]:
        """The labels, if they are text; none else."""
        return self.labels if isinstance(self.labels[0], str) else ()

    def spec(self, tensor: str, dims: Shape) -> TensorSpec:
        """What the feature's input says of itself."""
        if self.texts:
            return TensorSpec(tensor, "string", dims, values=self.texts)
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


def lightgbm_codes(booster: Any) -> dict[int, CategoryCodes]:
    """Place of a feature of a LightGBM booster -> its categories: what pandas had in training.

    The file lists them without their features: they are those that it knows by values.
    """
    listed = booster.pandas_categorical or []
    if not listed:
        return {}
    # Not `dump_model`, which walks the trees: those of a damaged file may have no end.
    lines = booster.model_to_string(num_iteration=1).splitlines()
    infos = next(line for line in lines if line.startswith(_INFOS)).removeprefix(_INFOS).split()
    places = [i for i, info in enumerate(infos) if info != "none" and not info.startswith("[")]
    if len(places) != len(listed):  # some are numbered by hand: nobody can tell which
        return {}
    found = {
        place: category_codes(labels, unknown_is_missing=True)
        for place, labels in zip(places, listed, strict=True)
    }
    return {place: codes for place, codes in found.items() if codes is not None}


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
