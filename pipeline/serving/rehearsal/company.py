"""Whether a model gives a row the same, whatever rows it is computed with, and whenever.

A row must get what its model gives it alone: how rows come together is up to the runner, to the
size of files and to other threads. A network in training mode, one that normalises over the batch
or has its rows on another axis, and one that keeps state between calls, break that without a word.
So different rows are computed together, one of them alone, all in reverse order, and all again;
two of them, where all together fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.backends.base import Servable
from pipeline.backends.reasons import with_type
from pipeline.batch import columns, rounding
from pipeline.batch.columns import BatchColumn, Column
from pipeline.batch.rounding import Difference
from pipeline.errors import InferenceError, ProcessLostError
from pipeline.serving.step.agreement import OutputValues
from pipeline.serving.step.model_step import ModelStep


class LoneRowError(InferenceError):
    """A model computes rows together, but not one of them by itself."""


@dataclass(frozen=True)
class _Finding:
    """A row that was given something else.

    Attributes:
      row: which.
      when: what was different, in words.
      difference: between the first answer and this one.
    """

    row: int
    when: str
    difference: Difference


class Company:
    """Some rows of one model, computed in different company.

    Attributes:
      at_once: rows of a call: all, or one where the model takes no more.

    Args:
      step: runs the model.
      servable: the model.
      available: the columns that it reads; all of its rows are computed.
      most: most rows of a call.
    """

    def __init__(
        self, step: ModelStep, servable: Servable, available: Mapping[str, BatchColumn], most: int
    ) -> None:
        self._step = step
        self._servable = servable
        self._available = available
        self._rows = len(next(iter(available.values())))
        self.at_once = min(self._rows, most)
        self._together: list[OutputValues] = []
        self._alone: dict[int, OutputValues] = {}
        self._fails_together = False

    def together(self) -> dict[str, Column]:
        """The outputs of all rows, by tensor.

        Where the model cannot take them together, they are computed one at a time: then calls of
        records will be split as well.

        Raises:
          Exception: what the model raises for a row as well as for all of them.
        """
        try:
            outputs = self._outputs(range(self._rows))
        except ProcessLostError:
            raise
        except Exception:
            if self.at_once == 1:
                raise
            single = self._one_by_one()
            if single is None:
                raise
            outputs = single
        self._together = _by_row(outputs)
        return outputs

    def alone(self) -> None:
        """Computes the last row by itself.

        Raises:
          LoneRowError: the model does not take it.
        """
        if self.at_once == 1:
            return
        last = self._rows - 1
        try:
            self._alone = self._answers([last])
        except ProcessLostError:
            raise
        except Exception as error:
            raise LoneRowError(
                f"computes {self._rows} rows together, but not one of them by itself, which may "
                f"come alone: {with_type(error)}"
            ) from error

    def problem(self, tolerance: float) -> str | None:
        """What of the rows' outputs depends on their company; None where nothing does.

        To be called after `together` and `alone`.

        Args:
          tolerance: see `batch.rounding`.
        """
        found = list(self._findings("alone", self._alone, tolerance))
        found += self._findings("together with another", self._two_together(), tolerance)
        backwards = self._answers(range(self._rows)[::-1])
        found += self._findings("in another order", backwards, tolerance)
        found += self._findings("again", self._answers(range(self._rows)), tolerance)
        if len({one.row for one in found}) < 2:  # a tie, where there are only labels to judge by
            found = [one for one in found if not one.difference.label]
        return self._described(found) if found else None

    def _one_by_one(self) -> dict[str, Column] | None:
        """The outputs of all rows, where the model gives them for one row at a time."""
        at_once, self.at_once = self.at_once, 1
        try:
            outputs = self._outputs(range(self._rows))
        except ProcessLostError:
            raise
        except Exception:
            self.at_once = at_once
            return None
        self._fails_together = True
        return outputs

    def _two_together(self) -> dict[int, OutputValues]:
        """The answers for two rows in one call, where all in one failed; {} where these do, too.

        A network that takes only even numbers of rows may mix each two of them.
        """
        if not self._fails_together:
            return {}
        try:
            return dict(enumerate(_by_row(self._call([0, 1]))))
        except ProcessLostError:
            raise
        except Exception:
            return {}

    def _outputs(self, order: Sequence[int]) -> dict[str, Column]:
        """The outputs of the rows in that order, in calls of at most `at_once` rows."""
        starts = range(0, len(order), self.at_once)
        parts = [self._call(order[start : start + self.at_once]) for start in starts]
        return {
            tensor: columns.concatenate_ragged([part[tensor] for part in parts])
            for tensor in parts[0]
        }

    def _call(self, rows: Sequence[int]) -> dict[str, Column]:
        taken = {name: columns.take(c, np.array(rows)) for name, c in self._available.items()}
        return self._step.compute(taken, np.arange(len(rows)), self._servable)

    def _answers(self, order: Sequence[int]) -> dict[int, OutputValues]:
        """Row -> what it was given; see `_outputs`."""
        return dict(zip(order, _by_row(self._outputs(order)), strict=True))

    def _findings(
        self, when: str, answers: Mapping[int, OutputValues], tolerance: float
    ) -> Iterator[_Finding]:
        for row, answer in answers.items():
            apart = rounding.difference(self._together[row], answer, tolerance)
            if apart is not None:
                yield _Finding(row, when, apart)

    def _described(self, found: Sequence[_Finding]) -> str:
        first = f"together with {self._rows - 1} others" if self.at_once > 1 else "at first"
        seen = {one.when: one for one in reversed(found)}
        differences = "; ".join(
            f"output '{one.difference.output}' of row {one.row + 1} is {one.difference.one} "
            f"{first}, but {one.difference.other} {when}"
            for when, one in reversed(seen.items())
        )
        if "again" in seen:
            advice = (
                "it draws random numbers or keeps state between calls, as a network in training "
                "mode does: save it in evaluation mode"
            )
        else:
            advice = (
                "it may be in training mode, normalise over the batch, or have its rows on another "
                "axis than the first: export it anew; one that is quantised dynamically, with one "
                "scale for a whole call, gets each row alone with `max_batch_size: 1`"
            )
        return (
            f"gives rows other outputs in other company: {differences}; {advice}, or, if that is "
            "meant, set `independent_rows: false` on the model"
        )


def _by_row(outputs: Mapping[str, Column]) -> list[OutputValues]:
    tensors = [columns.iterate(column) for column in outputs.values()]
    return [dict(zip(outputs, values, strict=True)) for values in zip(*tensors, strict=True)]
