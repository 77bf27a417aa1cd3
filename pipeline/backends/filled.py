"""Calls that are padded with rows: to one of a few sizes, or to two rows.

XLA compiles for each number of rows. On a GPU, cuDNN plans each layer for it, ONNX Runtime searches
for the fastest algorithm, and TorchScript specialises. That takes a hundred times as long as a
call, so no new number should come up while records wait. Some networks cannot take a single row:
one that squeezes its output then loses the batch axis.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping

from pipeline.backends.base import Servable, ServableAround
from pipeline.batch.columns import Array, Column, Ragged, part, repeat_last
from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError


class FilledServable(ServableAround):
    """A servable that is called with a few numbers of rows only, each warmed up before it serves.

    The last row is repeated for those that are missing, and their outputs are cut off. The numbers
    are the powers of two up to `call_rows`, and `call_rows` itself.

    Args:
      servable: computes. Its outputs must not depend on which rows are computed together.
      batched: the inputs that have rows.
      call_rows: most rows of a call; a larger call is padded to a power of two as well.
      between: whether the numbers half way between two powers of two count as well: for models that
        lose more by computing padding than by preparing for another number.

    `predict` raises a ModelFaultError if an output has another number of rows than the call: which
    of them belong to the padding is then unknown.
    """

    def __init__(
        self, servable: Servable, batched: Collection[str], call_rows: int, between: bool = False
    ) -> None:
        super().__init__(servable)
        self._batched = tuple(batched)
        self._sizes = row_sizes(call_rows, between)
        self.prepared_rows = call_rows
        self.warm_up_rows = (*servable.warm_up_rows, *self._sizes)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """See Servable."""
        rows = len(inputs[self._batched[0]])
        size = self._filled(rows)
        filled = {t: repeat_last(inputs[t], size) for t in self._batched}
        outputs = self._servable.predict({**inputs, **filled})
        for name, column in outputs.items():
            if _has_axis(column) and len(column) != size:
                raise ModelFaultError(
                    f"output '{name}' has {len(column)} rows for {size}; expected one for each row"
                )
        return {name: _first(column, rows) for name, column in outputs.items()}

    def _filled(self, rows: int) -> int:
        position = bisect_left(self._sizes, rows)
        return self._sizes[position] if position < len(self._sizes) else _power_of_two(rows)


def _first(column: Column, rows: int) -> Column:
    return part(column, 0, rows) if _has_axis(column) else column


def _has_axis(column: Column) -> bool:
    return isinstance(column, Ragged) or column.ndim > 0


def _has_rows(column: Column, rows: int) -> bool:
    return _has_axis(column) and len(column) == rows


class PairedServable(ServableAround):
    """A servable that gets a single row twice if it cannot take one alone.

    It finds that out itself, in every process that loads it: until a call with one row has worked,
    a call that fails or loses the batch axis is repeated with the row and a copy of it. The
    rehearsal makes such a call, so that a bad row costs no second call later. Only an output that
    has one axis more for two rows has lost it: what always has two of something, as ONNX's NonZero
    has for a matrix, gives no rows.

    Args:
      servable: computes. Its outputs must not depend on which rows are computed together.
      batched: the inputs that have rows.
      outputs: those that need a batch axis.
    """

    def __init__(
        self, servable: Servable, batched: Collection[str], outputs: Collection[str]
    ) -> None:
        super().__init__(servable)
        self._batched = tuple(batched)
        self._outputs = tuple(outputs)
        self._takes_one: bool | None = None  # None: not known yet

    def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        """See Servable."""
        if self._takes_one or len(inputs[self._batched[0]]) != 1:
            return self._servable.predict(inputs)
        return self._try_alone(inputs) if self._takes_one is None else self._as_two(inputs)

    def _try_alone(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        """One row alone, else as two; if neither works, the outcome of the row alone."""
        outputs: Mapping[str, Column] = {}
        failure: Exception | None = None
        try:
            outputs = self._servable.predict(inputs)
        except (OutOfMemoryError, ProcessLostError):
            raise
        except Exception as error:
            failure = error
        if failure is None and all(_has_rows(outputs[name], 1) for name in self._outputs):
            self._takes_one = True
            return outputs
        try:
            both = self._as_two(inputs)
        except Exception:
            if failure is not None:
                raise failure from None
            return outputs
        if failure is None and not self._lack_an_axis(outputs, both):
            return outputs
        self._takes_one = False
        return both

    def _as_two(self, inputs: Mapping[str, Array]) -> Mapping[str, Column]:
        pair = {tensor: repeat_last(inputs[tensor], 2) for tensor in self._batched}
        outputs = self._servable.predict({**inputs, **pair})
        if not all(_has_rows(outputs[name], 2) for name in self._outputs):
            raise ModelFaultError("a row and its copy do not give two rows")
        return {name: _first(column, 1) for name, column in outputs.items()}

    def _lack_an_axis(
        self, alone: Mapping[str, Column], first_of_two: Mapping[str, Column]
    ) -> bool:
        """Whether each output for one row is right, or is one with rows but for its first axis."""
        return all(
            _has_rows(alone[name], 1)
            or (
                not isinstance(column := alone[name], Ragged)
                and not isinstance(first := first_of_two[name], Ragged)
                and column.ndim + 1 == first.ndim
            )
            for name in self._outputs
        )


def row_sizes(call_rows: int, between: bool = False) -> tuple[int, ...]:
    """The numbers of rows to pad to, ascending; see FilledServable."""
    powers = [2**n for n in range(call_rows.bit_length())]
    halves = [3 * power // 2 for power in powers if between and power > 1]
    return tuple(sorted({size for size in (*powers, *halves, call_rows) if size <= call_rows}))


def _power_of_two(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
