"""The statistics of a column of model outputs, as values that merge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.batch.columns import Array, Column, Ragged
from pipeline.report.statistics import label_counts, value_sketch
from pipeline.report.statistics.label_counts import LabelCounts
from pipeline.report.statistics.value_sketch import ValueSketch

MOST_VALUES = 64
"""The most values of a row that are counted; of longer rows, every second, third and so on."""

ColumnKind = Literal["boolean", "integer", "float", "text"]
_KINDS: tuple[ColumnKind, ...] = ("boolean", "integer", "float", "text")
_OF_DTYPE: dict[str, ColumnKind] = {"b": "boolean", "i": "integer", "u": "integer", "f": "float"}


@dataclass(frozen=True)
class ColumnStatistics:
    """The statistics of all rows of one column. Immutable.

    Attributes:
      kind: the kind of its values; text is str or bytes.
      rows: the number of rows.
      row_values: the number of values of the longest row.
      values: the numbers, of at most MOST_VALUES places of a row; not those of `not_finite`.
      not_finite: numbers that are NaN or infinite.
      labels: the texts.
      highest: for rows that are vectors, the position of the highest value, if it was asked for.
    """

    kind: ColumnKind
    rows: int = 0
    row_values: int = 0
    values: ValueSketch = field(default_factory=ValueSketch)
    not_finite: int = 0
    labels: LabelCounts = field(default_factory=LabelCounts)
    highest: ValueSketch = field(default_factory=ValueSketch)


def column_statistics(
    column: Column, highest: Array | None = None, least_shift: int = 0
) -> ColumnStatistics:
    """The statistics of one column of a batch with rows.

    Args:
      column: the column.
      highest: for each row the position of its highest value, if that is of interest.
      least_shift: see `value_sketch.sketch`.
    """
    counted, row_values = _counted(column)
    positions = ValueSketch() if highest is None else value_sketch.sketch(highest)
    if counted.dtype.kind in "OUS":
        return ColumnStatistics(
            "text",
            len(column),
            row_values,
            labels=label_counts.count_labels(_texts(counted)),
            highest=positions,
        )
    not_finite = 0
    if counted.dtype.kind == "f":
        finite = np.isfinite(counted)
        if not finite.all():
            not_finite = int(finite.size - np.count_nonzero(finite))
            counted = counted[finite]
    return ColumnStatistics(
        _OF_DTYPE[counted.dtype.kind],
        len(column),
        row_values,
        values=value_sketch.sketch(counted, least_shift=least_shift),
        not_finite=not_finite,
        highest=positions,
    )


def merged(parts: Sequence[ColumnStatistics]) -> ColumnStatistics:
    """The statistics of the rows of all parts, at least one."""
    if len(parts) == 1:
        return parts[0]
    return ColumnStatistics(
        max((part.kind for part in parts), key=_KINDS.index),
        sum(part.rows for part in parts),
        max(part.row_values for part in parts),
        value_sketch.merged([part.values for part in parts]),
        sum(part.not_finite for part in parts),
        label_counts.merged([part.labels for part in parts]),
        value_sketch.merged([part.highest for part in parts]),
    )


def _counted(column: Column) -> tuple[Array, int]:
    """The counted values of a column, as a vector, and the number of values of the longest row."""
    if isinstance(column, Ragged):
        rows = [row.reshape(-1) for row in column.rows]
        return np.concatenate([row[:: _step(len(row))] for row in rows]), max(map(len, rows))
    dense = column.reshape(len(column), -1)
    return dense[:, :: _step(dense.shape[1])].reshape(-1), dense.shape[1]


def _step(values: int) -> int:
    return max(1, -(-values // MOST_VALUES))


def _texts(values: Array) -> Iterable[str]:
    return (
        value if isinstance(value, str) else value.decode(errors="backslashreplace")
        for value in values.tolist()
    )
