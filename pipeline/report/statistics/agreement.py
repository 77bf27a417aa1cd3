"""How often models agree: counts of rows for each pair of comparable columns.

Two columns are comparable if both hold one label per row of the same kind (integer, boolean, text),
or both one vector of scores per row of the same length; for vectors, the positions of the highest
value are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.batch.columns import Array, Column, Ragged

Pair = tuple[str, str]
_SUM_ERROR = 0.01


@dataclass(frozen=True)
class Agreement:
    """The agreement of two columns.

    Attributes:
      rows: the number of compared rows.
      equal: the number of those in which the columns agree.
    """

    rows: int
    equal: int


@dataclass(frozen=True)
class Opinions:
    """The label that a column gives each row, for comparison.

    Attributes:
      group: only columns of one group are comparable.
      said: the label of each row, or the position of its highest score.
      positions: whether `said` holds positions.
      present: which rows say something; None for all of them.
    """

    group: str
    said: Array
    positions: bool
    present: Array | None = None


def opinions(column: Column, *, scores: bool) -> Opinions | None:
    """The label that a column gives each row; None if the column is not comparable.

    Args:
      column: a column of a batch with rows.
      scores: whether vectors of floats are known to hold a score for each of several choices. If
        not, only probabilities (each row sums to 1) count as scores.
    """
    if isinstance(column, Ragged):
        return None
    if column.dtype.kind == "f":
        if column.ndim != 2 or column.shape[1] < 2 or not (scores or _are_probabilities(column)):
            return None
        return Opinions(f"highest of {column.shape[1]}", column.argmax(axis=1), True)
    if column.size != len(column):
        return None
    kind = "text" if column.dtype.kind in "OUS" else column.dtype.kind.replace("u", "i")
    return Opinions(kind, column.reshape(-1), False)


def _are_probabilities(rows: Array) -> bool:
    sums = rows.sum(axis=1, dtype=np.float64)
    return bool(rows.min() >= 0 and np.abs(sums - 1).max() <= _SUM_ERROR)


def as_positions(labels: Column, scores: Column) -> Opinions | None:
    """What a column says that holds the positions of the highest of `scores`, row by row."""
    if isinstance(labels, Ragged) or isinstance(scores, Ragged) or scores.ndim != 2:
        return None
    return Opinions(f"highest of {scores.shape[1]}", labels, False)


def compare(by_column: Mapping[str, Opinions]) -> dict[Pair, Agreement]:
    """The agreement of each comparable pair of columns, for the same rows of all.

    Args:
      by_column: column -> what it says.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name, of_column in by_column.items():
        groups[of_column.group].append(name)
    return {
        (one, other): _agreement(by_column[one], by_column[other])
        for names in groups.values()
        for one, other in combinations(sorted(names), 2)
    }


def _agreement(one: Opinions, other: Opinions) -> Agreement:
    """Over the rows of which both say something."""
    equal = one.said == other.said
    masks = [each.present for each in (one, other) if each.present is not None]
    both = np.logical_and.reduce(masks) if masks else np.ones(len(equal), dtype=bool)
    return Agreement(int(both.sum()), int((equal & both).sum()))


def merged(parts: Iterable[Mapping[Pair, Agreement]]) -> dict[Pair, Agreement]:
    """The agreement over the rows of all parts."""
    found: dict[Pair, Agreement] = {}
    for part in parts:
        for pair, more in part.items():
            have = found.get(pair, Agreement(0, 0))
            found[pair] = Agreement(have.rows + more.rows, have.equal + more.equal)
    return found
