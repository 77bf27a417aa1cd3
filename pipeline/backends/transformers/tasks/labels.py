"""Labels that the ensemble file or a record names, for models that compare a row with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.backends.transformers.tasks.texts import strings
from pipeline.batch.columns import Array, Column, Ragged, iterate
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import ColumnInput, TransformersModel

_FEWEST_PAIRS = 32


@dataclass(frozen=True)
class Pairs:
    """Each row with each of its labels.

    Attributes:
      rows, labels: of each pair; the pairs of a row stand together.
      counts: labels of each row.
      most: pairs of a call of the model: as many as the batch has rows, so that a call with many
        labels needs no more memory than one with few.
    """

    rows: Sequence[int]
    labels: Sequence[str]
    counts: Sequence[int]
    most: int

    def of(self, column: Column) -> list[list[Array]]:
        """The values of the pairs of each row."""
        values = list(iterate(column))
        ends = np.cumsum(self.counts)
        return [values[end - n : end] for end, n in zip(ends, self.counts, strict=True)]

    def any_of(self, flags: Array) -> Array:
        """For each row whether one of its pairs has a flag."""
        return np.array([any(values) for values in self.of(flags)], dtype=bool)


class CandidateLabels:
    """The input `labels` and the outputs that rank them.

    Attributes:
      tensor: the input.
      count: labels of a row; None where a column brings them.
      outputs: `labels` and `scores`, the likeliest first, and `label`, the first of them.
    """

    def __init__(self, path: Path, spec: TransformersModel, name: str = "labels") -> None:
        self._name = name
        bound = spec.inputs.get(name)
        self._differ = bound is None or isinstance(bound, ColumnInput)
        count = None
        if bound is not None and not isinstance(bound, ColumnInput):
            count = bound.array().size
            if not count:
                raise LoadError(f"{path}: input '{name}' is an empty list, expected some texts")
        self.count = count
        self.tensor = TensorSpec(name, "string", (None, None) if self._differ else (None,))
        self.outputs = (
            TensorSpec("labels", "string", (None, count)),
            TensorSpec("scores", "float32", (None, count)),
            TensorSpec("label", "string", (None,)),
        )

    def pairs(self, inputs: Mapping[str, Array], rows: int) -> Pairs:
        """The pairs of a call.

        Raises:
          ValueError: a row has no labels.
        """
        given = inputs[self._name]
        lists = [strings(row) for row in given] if self._differ else [strings(given)] * rows
        if not all(lists):
            raise ValueError(f"found an empty list in '{self._name}', expected some texts")
        return Pairs(
            rows=[row for row, labels in enumerate(lists) for _ in labels],
            labels=[label for labels in lists for label in labels],
            counts=[len(labels) for labels in lists],
            most=max(rows, _FEWEST_PAIRS),
        )

    def ranked(self, pairs: Pairs, scores: Sequence[Array]) -> dict[str, Column]:
        """The outputs for the scores of each row's labels."""
        names = pairs.of(np.array(pairs.labels, dtype=object))
        orders = [np.argsort(-row, kind="stable") for row in scores]  # of equals, the first
        sorted_names = [
            np.array([str(row[i]) for i in order], dtype=object)
            for row, order in zip(names, orders, strict=True)
        ]
        sorted_scores = [
            row[order].astype(np.float32) for row, order in zip(scores, orders, strict=True)
        ]
        return {
            "label": np.array([row[0] for row in sorted_names], dtype=object),
            "labels": self.joined(sorted_names),
            "scores": self.joined(sorted_scores),
        }

    def joined(self, rows: Sequence[Array]) -> Column:
        """A column of values of each row's labels: ragged where other calls have other numbers."""
        return Ragged(rows) if self._differ else np.stack(list(rows))
