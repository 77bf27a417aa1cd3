"""A column operation as the ensemble file has it: what is known of it before any record.

Each operation is a class with its keys, the types that it makes of those that it reads, and the
error type of rows that it cannot compute. What it computes is its line in
:mod:`pipeline.ops.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field

from pipeline.spec.column_types import Gaps, Type, need
from pipeline.spec.strict_model import Name, StrictModel


class Op(StrictModel, ABC):
    """Base of the steps under `prepare:` and `combine:`.

    Attributes:
      stage: the section of the file, and of a row that the step cannot compute.
      error_type: short stable name of that failure; dead letters are counted by it.
    """

    stage: ClassVar[Literal["prepare", "combine"]]
    error_type: ClassVar[str]

    column: Name = Field(description="Name of the column that it produces.")

    @abstractmethod
    def types(self, *read: Type) -> dict[str, Type]:
        """The types of the columns that it produces, in the order of `columns_written`.

        Args:
          read: one for each column that it reads, in the order of `columns_read`.

        Raises:
          TypesError: it cannot read such columns.
        """

    def gaps(self, *read: Gaps) -> Gaps:
        """Where its results may lack values: a row lacks them where it lacks a column that is read.

        Args:
          read: where each of the columns that it reads may lack values.

        Raises:
          TypesError: it cannot read such columns.
        """
        worst = max(read, default=Gaps.NONE)
        need(
            worst < Gaps.INSIDE or self.keeps_nan,
            "columns without missing values inside a vector (`op: fill` fills them)",
        )
        return worst

    def columns_read(self) -> list[str]:
        """The columns that it reads, in the order of the file."""
        of: str | tuple[str, ...] = getattr(self, "of")  # noqa: B009  # every subclass has it
        return [of] if isinstance(of, str) else list(of)

    def columns_written(self) -> list[str]:
        """The columns that it produces."""
        return [self.column]

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.stage} step '{self.column}'"

    @property
    def is_elementwise(self) -> bool:
        """Whether it computes each value by itself, and leaves it in its place."""
        return False

    @property
    def keeps_nan(self) -> bool:
        """Whether it leaves a NaN inside a vector, which is a missing value, as it is."""
        return False

    @property
    def joins(self) -> bool:
        """Whether its result is the values of the columns that it reads, side by side."""
        return False

    @property
    def value_labels(self) -> Sequence[str | int]:
        """What each value along the last axis of its result stands for; empty where unknown."""
        return ()

    @property
    def chooses(self) -> bool:
        """Whether the values that it reads are scores, one for each of several choices."""
        return False

    @property
    def is_choice(self) -> bool:
        """Whether its result is the position of the highest score."""
        return False

    @property
    def is_ordered(self) -> bool:
        """Whether the values of each row of its result are in the order of their scores."""
        return False

    @property
    def named_file(self) -> str | None:
        """The file that its key `file` names, if it has that key: read once, at launch."""
        file: str | None = getattr(self, "file", None)
        return file

    def with_file_text(self, text: str) -> Self:
        """The step with the content of the file instead of its name.

        Raises:
          ValueError: the file holds something else; says what, as in "holds a label twice".
        """
        raise NotImplementedError(f"{type(self).__name__} reads no file")
