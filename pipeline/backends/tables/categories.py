"""Features of boosters that are categories, which their files number: a value becomes its code.

XGBoost and LightGBM do the same with a DataFrame whose columns are of pandas' type for categories.
Only columns that are bound by name are read so; a matrix has the codes already.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.backends.text import as_str
from pipeline.batch.columns import Array
from pipeline.batch.tensors import FLOATS, INTEGERS, Shape, Taken, TensorSpec
from pipeline.errors import RowsError

_INFOS = "feature_infos="
"""Of a LightGBM file: of each feature its range, ``[0:1]``, or the codes that it has, ``0:1:2``."""
_NUMBERS = Taken("categories that are numbers", ("bool", *INTEGERS, *FLOATS))
_CODES = Taken(
    "codes of its categories, of which XGBoost here cuts the names at wrong places, because some "
    "are not ASCII: `op: ordinal` makes codes, with `labels` in the order of training (pandas "
    "sorts them)",
    (*INTEGERS, *FLOATS),
)


@dataclass(frozen=True)
class CategoryCodes:
    """The categories of one feature.

    Attributes:
      labels: all text, or all numbers; the place of each is its code. Empty where nobody knows them
        any more: such a feature takes codes.
      unknown_is_missing: whether a value that is no label counts as missing, as LightGBM has it;
        otherwise it is an error of its row, as XGBoost has it.
    """

    labels: tuple[Any, ...]
    unknown_is_missing: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """The labels, if they are text; none else."""
        return self.labels if self.labels and isinstance(self.labels[0], str) else ()

    def spec(self, tensor: str, dims: Shape) -> TensorSpec:
        """What the feature's input says of itself."""
        if not self.labels:
            return TensorSpec(tensor, None, dims, taken=_CODES)
        if self.texts:
            return TensorSpec(tensor, "string", dims, values=self.texts)
        return TensorSpec(tensor, None, dims, values=self.labels, taken=_NUMBERS)

    def codes(self, tensor: str, column: Array) -> Array:
        """The code of each value, float32 [rows]; NaN for one that is missing.

        Raises:
          RowsError: rows whose value is no label, where that is an error.
        """
        if not self.labels:
            return column.astype(np.float32)
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


def xgboost_codes(booster: Any) -> dict[int, CategoryCodes]:
    """Place of a feature of an XGBoost booster -> the categories that it was trained with.

    Linear boosters have none, nor have files of XGBoost before 3.1.
    """
    try:
        known = booster.get_categories(export_to_arrow=True).to_arrow()
    except ValueError:
        return {}
    found = {
        place: CategoryCodes((), unknown_is_missing=False)
        if _are_cut(labels)
        else category_codes(labels.to_pylist(), unknown_is_missing=False)
        for place, (_, labels) in enumerate(known)
        if labels is not None
    }
    return {place: codes for place, codes in found.items() if codes is not None}


def _are_cut(labels: Any) -> bool:
    """Whether the names of some categories, an Arrow array, are others than in training."""
    if not pa.types.is_string(labels.type):
        return False
    names = labels.cast(pa.binary()).to_pylist()  # which need not be UTF-8
    return not all(name.isascii() for name in names) and _cuts_names()


@functools.cache
def _cuts_names() -> bool:
    """Whether XGBoost here cuts names by characters where it has to count bytes.

    https://github.com/dmlc/xgboost/pull/12371: so do 3.1 and 3.2.
    """
    import pandas
    import xgboost

    frame = pandas.DataFrame({"x": pandas.Categorical(["\N{LATIN SMALL LETTER E WITH ACUTE}a"])})
    known = xgboost.DMatrix(frame, enable_categorical=True).get_categories(export_to_arrow=True)
    [(_, labels)] = known.to_arrow()
    return bool(labels.cast(pa.binary()).to_pylist() != [frame["x"].cat.categories[0].encode()])


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
