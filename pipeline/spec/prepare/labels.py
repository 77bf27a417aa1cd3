"""Prepare steps of labels and categories: their positions in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.batch.tensors import INTEGERS
from pipeline.spec.column_types import Type, need
from pipeline.spec.label_file import labels_in
from pipeline.spec.prepare.step import OfOne


class OneHot(OfOne):
    """A 1 at the position of the label, 0 elsewhere: `[...]` -> `float32[..., labels]`.

    Text, or integers. A value that is no label is a dead letter.
    """

    error_type = "unknown_label"

    op: Literal["one_hot"]
    labels: tuple[str | int, ...] | None = Field(
        default=None, description="The labels: all text, or all integers."
    )
    file: str | None = Field(
        default=None,
        description="Instead of `labels`: a text file with one label a line, a JSON list, or a "
        "JSON object of labels by index; "
        "relative to the ensemble file.",
    )
    depth: int | None = Field(
        default=None, ge=1, description="Instead of `labels`: the integers from 0 to `depth` - 1."
    )

    @model_validator(mode="after")
    def _one_list(self) -> OneHot:
        if [self.labels, self.file, self.depth].count(None) != 2:
            raise ValueError("expected one of `labels`, `file` and `depth`")
        if self.labels is not None:
            if not self.labels or len({type(label) for label in self.labels}) > 1:
                raise ValueError("expected at least one label, all text or all integers")
            if len(set(self.labels)) < len(self.labels):
                raise ValueError("found a label twice")
        return self

    @property
    def value_labels(self) -> Sequence[str | int]:
        """The labels; none while their file is not read."""
        return range(self.depth) if self.depth is not None else self.labels or ()

    def with_file_text(self, text: str) -> Self:
        """The step with the labels instead of the file."""
        labels = labels_in(text, str, int)
        if len(set(labels)) < len(labels):
            raise ValueError("holds a label twice")
        return self.model_copy(update={"labels": labels, "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """One more axis, as long as there are labels; any length while their file is not read."""
        ((dtype, shape),) = read
        if self.depth is not None:
            need(dtype in (*INTEGERS, "bool"), "integers, as it has a `depth`")
        elif self.labels and isinstance(self.labels[0], str):
            need(dtype == "string", "text, as its labels are")
        elif self.labels:
            need(dtype in INTEGERS, "integers, as its labels are")
        count = self.depth if self.labels is None else len(self.labels)
        return {self.column: ("float32", (*shape, count))}
