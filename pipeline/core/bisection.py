"""Which rows make a call fail: found by halving, within a budget of calls.

A failing call says nothing about the row at fault. Halving finds one bad row in n with about
2 log2(n) calls (17 for 256 rows) but needs 2n - 1 when every row fails, so there is a budget; what
is still open when it is spent is given up as one, and the caller treats it as the model's fault.

Running out of memory is no row's fault. Those calls are halved as well, and the
size that fits is kept for the rest; only a single row that does not fit counts as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from pipeline.errors import OutOfMemoryError, ProcessLostError

_T = TypeVar("_T")
Rows = np.ndarray[Any, Any]

DEFAULT_BUDGET = 64


@dataclass
class Outcome(Generic[_T]):
    """What became of the rows: each is in `results`, `failed` or `given_up`, exactly once.

    Attributes:
      results: (row indices, result) of the calls that worked, rows ascending.
      failed: row -> the exception it causes by itself.
      given_up: row -> an exception of a call it was in, when the budget was spent.
      calls: how many calls were made.
      fits: most rows of a call that memory sufficed for; None where it never ran out.
    """

    results: list[tuple[Rows, _T]] = field(default_factory=list)
    failed: dict[int, Exception] = field(default_factory=dict)
    given_up: dict[int, Exception] = field(default_factory=dict)
    calls: int = 0
    fits: int | None = None

    @property
    def errors(self) -> Mapping[int, Exception]:
        """All rows without result."""
        return {**self.failed, **self.given_up}


def run(
    call: Callable[[Rows], _T],
    rows: Rows,
    *,
    max_rows: int | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Outcome[_T]:
    """Calls `call` on all `rows`, in as few calls as possible, around those that fail.

    Args:
      call: computes the given rows (ascending indices); may raise anything. A ProcessLostError,
        which no row causes, is passed on.
      rows: the indices to compute.
      max_rows: most rows in one call.
      budget: how many calls may be spent on halving after failures other than out of memory.

    Returns:
      results in row order.

    Raises:
      ProcessLostError: see `call`.
    """
    outcome: Outcome[_T] = Outcome()
    limit = max_rows or max(len(rows), 1)
    waiting = [rows[i : i + limit] for i in range(0, len(rows), limit)][::-1]
    while waiting:
        part = waiting.pop()
        if len(part) > limit:  # the limit shrank while it waited
            waiting += _halves(part)
            continue
        outcome.calls += 1
        try:
            outcome.results.append((part, call(part)))
        except OutOfMemoryError as error:
            if len(part) == 1:
                outcome.failed[int(part[0])] = error
                continue
            limit = outcome.fits = len(part) // 2
            waiting += _halves(part)
        except ProcessLostError:
            raise
        except Exception as error:
            if len(part) == 1:
                outcome.failed[int(part[0])] = error
            elif budget < 2:
                outcome.given_up.update({int(row): error for row in part})
            else:
                budget -= 2
                waiting += _halves(part)
    return outcome


def _halves(rows: Rows) -> list[Rows]:
    """The second half, then the first: the stack takes the first next."""
    middle = len(rows) // 2
    return [rows[middle:], rows[:middle]]
