"""Missing values filled, and told."""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array, BatchColumn, Masked, Ragged, values_of
from pipeline.ops.values import is_nan
from pipeline.spec.prepare import Fill, IsMissing


def fill(step: Fill, column: BatchColumn) -> Array:
    """`step.value` for each missing value; shape and dtype stay."""
    values = values_of(column)
    assert not isinstance(values, Ragged)  # see `Fill.types`
    missing = is_nan(values)
    filled = (
        np.where(missing, np.asarray(step.value, values.dtype), values) if missing.any() else values
    )
    if isinstance(column, Masked) and not column.present.all():
        filled = filled.copy()
        filled[~column.present] = step.value
    return filled


def is_missing(step: IsMissing, column: BatchColumn) -> Array:
    """Whether each value is missing: bool, of the column's shape."""
    values = values_of(column)
    assert not isinstance(values, Ragged)  # see `IsMissing.types`
    missing = is_nan(values)
    if isinstance(column, Masked):
        missing[~column.present] = True
    return missing
