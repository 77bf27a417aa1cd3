"""Labels and their positions: text or integers to positions, and back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from typing import Any

import numpy as np

from pipeline.batch.columns import Array, BatchColumn, Column, Masked, Ragged
from pipeline.ops.values import Bad, bad_values, each_value, reject_rows
from pipeline.spec.combine import Lookup
from pipeline.spec.prepare import OneHot, Ordinal


def check_labels(step: OneHot | Ordinal) -> None:
    """Makes sure that a step has its labels.

    Raises:
      ValueError: their file was not read.
    """
    if not step.labels and getattr(step, "depth", None) is None:
        raise ValueError(f"has the labels file {step.file!r}, which was not read")


def one_hot(step: OneHot, column: Column) -> Column:
    """``(...)`` -> ``(..., labels)`` float32: 1 at the label's position, else 0.

    Bad is a value that is no label.
    """
    labels = step.labels or ()
    position_of = {label: i for i, label in enumerate(labels)}

    def compute(values: Array) -> tuple[Array, Bad]:
        if step.depth is not None:
            count, expected = step.depth, f"expected 0 to {step.depth - 1}"
            inside = (values >= 0) & (values < count)
            positions = np.where(inside, values.astype(np.int64), -1)
        else:
            count, expected = len(labels), f"which is none of the {len(labels)} labels"
            positions = _codes(values, position_of, unknown=-1)
        hot = np.zeros((len(values), count), dtype=np.float32)
        hot[np.arange(len(values)), positions] = 1.0
        return hot, bad_values(positions < 0, values, expected)

    return each_value(column, compute)


def ordinal(step: Ordinal, column: Column) -> BatchColumn:
    """The code of each value: text or integers -> int64; shape stays.

    Bad is a value that is no label, unless those have a code, or none: then the column is masked.
    """
    code_of = {label: i for i, label in enumerate(step.labels or (), start=step.first)}
    unknown = step.unknown if isinstance(step.unknown, int) else -1

    def compute(values: Array) -> tuple[Array, Bad]:
        codes = _codes(values, code_of, unknown)
        if step.unknown != "dead_letter":
            return codes, {}
        return codes, bad_values(codes < 0, values, f"which is none of the {len(code_of)} labels")

    codes = each_value(column, compute)
    if step.unknown != "missing" or isinstance(codes, Ragged):
        return codes
    return Masked(np.maximum(codes, 0), codes >= 0)


def _codes(values: Array, code_of: Mapping[Any, int], unknown: int) -> Array:
    """The code of each value: int64, `unknown` for those that have none."""
    found = map(code_of.get, values.tolist(), repeat(unknown))
    return np.fromiter(found, np.int64, len(values))


def lookup(step: Lookup, positions: Array) -> Array:
    """The label at each position: integers or booleans -> text; shape stays.

    Raises:
      RowsError: rows with a position that has no label.
    """
    if step.labels is None:
        raise ValueError(f"the labels file {step.file!r} was not read")
    count = len(step.labels)
    expected = f"0 to {count - 1}" if count else "none, the list of labels is empty"
    outside = (positions < 0) | (positions >= count)

    def message(row: int) -> str:
        found = positions[row][outside[row]].flat[0]
        return f"no label for {found} in '{step.of}', expected {expected}"

    reject_rows(outside, message)
    return np.array(step.labels, dtype=object)[positions.astype(np.intp)]
