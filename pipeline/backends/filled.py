"""Calls that are filled up to a few numbers of rows.

XLA compiles for each number of rows; on a GPU, cuDNN plans each layer for it, ONNX Runtime searches
for the fastest way, and TorchScript specialises. That takes a hundred times as long as a call, so
no new number should come up while records wait.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping

from pipeline.backends.base import Array, Servable, ServableAround
from pipeline.core.columns import Column, Ragged, part, repeat_last


class FilledServable(ServableAround):
    """A servable that is called with a few numbers of rows only, each warmed up before it serves.

    The last row stands in for those that lack, and what comes of them is cut off. The numbers are
    the powers of two up to `max_rows`, and `max_rows` itself.

    Args:
      servable: computes. Its outputs must not depend on which rows are computed together.
      batched: the inputs that have rows.
      max_rows: most rows of a call; more are filled up to a power of two as well.
      between: a number half way between two powers of two counts as well, where what is computed
        in vain costs more than what is prepared for a number.
    """

    def __init__(
        self, servable: Servable, batched: Collection[str], max_rows: int, between: bool = False
    ) -> None:
        super().__init__(servable)
        self._batched = tuple(batched)
        self._sizes = row_sizes(max_rows, between)
        self.prepared_rows = max_rows
        self.warm_up_rows = (*servable.warm_up_rows, *self._sizes)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """See Servable."""
        rows = len(inputs[self._batched[0]])
        filled = {t: repeat_last(inputs[t], self._filled(rows)) for t in self._batched}
        outputs = self._servable.predict({**inputs, **filled})
        return {name: _first(column, rows) for name, column in outputs.items()}

    def _filled(self, rows: int) -> int:
        position = bisect_left(self._sizes, rows)
        return self._sizes[position] if position < len(self._sizes) else _power_of_two(rows)


def _first(column: Column, rows: int) -> Column:
    scalar = not isinstance(column, Ragged) and column.ndim == 0
    return column if scalar else part(column, 0, rows)


def row_sizes(max_rows: int, between: bool = False) -> tuple[int, ...]:
    """The numbers of rows to fill up to, ascending; see FilledServable."""
    powers = [2**n for n in range(max_rows.bit_length())]
    halves = [3 * power // 2 for power in powers if between and power > 1]
    return tuple(sorted({size for size in (*powers, *halves, max_rows) if size <= max_rows}))


def _power_of_two(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
