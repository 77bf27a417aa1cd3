"""Prepare steps of labels and categories: their positions in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.batch.tensors import INTEGERS
from pipeline.spec.column_types import Gaps, Type, need
from pipeline.spec.label_file import FILE, labels_in
from pipeline.spec.prepare.step import Elementwise, OfOne


def _check(labels: Sequence[str | int]) -> None:
    if not labels or len({type(label) for label in labels}) > 1:
        raise ValueError("expected at least one label, all text or all integers")
    if len(set(labels)) < len(labels):
        raise ValueError("found a label twice")


def _from_file(text: str) -> tuple[str | int, ...]:
    labels = labels_in(text, str, int)
    if len(set(labels)) < len(labels):
        raise ValueError("holds a label twice")
    return labels


def _need_their_type(dtype: str, labels: Sequence[str | int]) -> None:
    if labels and isinstance(labels[0], str):
        need(dtype == "string", "text, as its labels are")
    elif labels:
        need(dtype in INTEGERS, "integers, as its labels are")


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
        description=FILE,
    )
    depth: int | None = Field(
        default=None, ge=1, description="Instead of `labels`: the integers from 0 to `depth` - 1."
    )

    @model_validator(mode="after")
    def _one_list(self) -> OneHot:
        if [self.labels, self.file, self.depth].count(None) != 2:
            raise ValueError("expected one of `labels`, `file` and `depth`")
        if self.labels is not None:
            _check(self.labels)
        return self

    @property
    def value_labels(self) -> Sequence[str | int]:
        """The labels; none while their file is not read."""
        return range(self.depth) if self.depth is not None else self.labels or ()

    def with_file_text(self, text: str) -> Self:
        """The step with the labels instead of the file."""
        return self.model_copy(update={"labels": _from_file(text), "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """One more axis, as long as there are labels; any length while their file is not read."""
        ((dtype, shape),) = read
        if self.depth is not None:
            need(dtype in (*INTEGERS, "bool"), "integers, as it has a `depth`")
        else:
            _need_their_type(dtype, self.labels or ())
        count = self.depth if self.labels is None else len(self.labels)
        return {self.column: ("float32", (*shape, count))}


class Ordinal(Elementwise):
    """Categories as their codes: `[...]` -> `int64[...]`, the first of `labels` is `first`.

    Text, or integers. As scikit-learn's `OrdinalEncoder` has them (sorted: its `categories_`), and
    with `first: 1, unknown: 0` as Keras' `StringLookup` and `IntegerLookup`.
    """

    error_type = "unknown_label"

    op: Literal["ordinal"]
    labels: tuple[str | int, ...] | None = Field(
        default=None, description="The categories: all text, or all integers."
    )
    file: str | None = Field(default=None, description=FILE)
    first: int = Field(default=0, ge=0, lt=1 << 31, description="Code of the first.")
    unknown: Literal["dead_letter", "missing"] | int = Field(
        default="dead_letter",
        description="Code of a value that is no label, such as -1; or `missing`: it has none; or "
        "`dead_letter`, which such a record becomes.",
    )

    @model_validator(mode="after")
    def _one_list(self) -> Ordinal:
        if (self.labels is None) == (self.file is None):
            raise ValueError("expected either `labels` or `file`")
        if self.labels is not None:
            _check(self.labels)
            self._check_unknown(len(self.labels))
        return self

    def _check_unknown(self, count: int) -> None:
        if isinstance(self.unknown, int):
            if not -(1 << 63) <= self.unknown < 1 << 63:
                raise ValueError(f"found `unknown: {self.unknown}`, which int64 cannot hold")
            if self.first <= self.unknown < self.first + count:
                last = self.first + count - 1
                raise ValueError(
                    f"found `unknown: {self.unknown}`, the code of a label ({self.first} to {last})"
                )

    def with_file_text(self, text: str) -> Self:
        """The step with the categories instead of the file."""
        labels = _from_file(text)
        self._check_unknown(len(labels))
        return self.model_copy(update={"labels": labels, "file": None})

    def types(self, *read: Type) -> dict[str, Type]:
        """int64 of the same shape."""
        ((dtype, shape),) = read
        need(dtype in ("string", *INTEGERS), "text or integers")
        _need_their_type(dtype, self.labels or ())
        need(
            shape == () or self.unknown != "missing", "a single value, as unknown ones are missing"
        )
        return {self.column: ("int64", shape)}

    def gaps(self, *read: Gaps) -> Gaps:
        """Where the column lacks values, and where it has unknown ones that are missing then."""
        return max(super().gaps(*read), Gaps.ROWS if self.unknown == "missing" else Gaps.NONE)
