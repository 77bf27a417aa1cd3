"""Which rows make a call fail: found by adaptive group testing, so that all others are computed.

**Bad rows.** A failing call says nothing about the row at fault. Its rows are halved, the first
half first, until one row is left; the rows behind it are tried anew, in groups as long as the share
of bad rows suggests (`bad_share`: generalised binary splitting). A row counts as bad only when it
failed *by itself*: that the rest of its group worked proves nothing, since the number of rows may
have been what failed. So exactly the bad rows fail, at any share of them, within the calls that
`bad_share` allows. Where a broken model would make all of them fail, `give_up` ends the search.

**Failures of size.** Where each row of a call that failed works in smaller company, no row was at
fault. The same rows are called once more: if that works, the failure has passed; if it fails again,
the model does not take so many rows, and no later call has more than half of them. For a model that
takes one row at a time, that is one.

**A piece that works** proves as little where the whole failed for its shape: a vector that is bound
to a scalar is broadcast along the wrong axis as soon as the lengths happen to fit. What a model
gives a row alone is right by definition. So the first call of several rows that works after one
failed is compared with one of its rows alone, once for each version; if they differ, nothing that
several rows gave together counts, and every row is computed by itself from then on.

**Memory.** Running out of it is no row's fault. Those calls are halved as well, and the size that
fits is kept for the rest; only a single row that does not fit counts as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Generic, TypeVar

import numpy as np

from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.serving.step.bad_share import BadShare

_T = TypeVar("_T")
Rows = np.ndarray[Any, Any]

FEWEST_TRIES = 16
"""So many rows fail by themselves, and none works, before `give_up` is asked."""


@dataclass
class Experience:
    """What the calls of a model version so far tell of the next ones. Not safe for several threads.

    Attributes:
      share: of bad rows.
      most: rows that a call may have; None where no number of rows has failed.
      failed: whether a call has failed that had enough memory.
      confirmed: whether rows that were computed together, after a failure, agree with one alone.
    """

    share: BadShare = field(default_factory=BadShare)
    most: int | None = None
    failed: bool = False
    confirmed: bool = False


@dataclass
class RowOutcomes(Generic[_T]):
    """What became of the rows: each is in `results`, `failed` or `given_up`, exactly once.

    Attributes:
      results: (row indices, result) of the calls that worked, rows ascending.
      failed: row -> the exception it causes by itself.
      given_up: row -> the last exception, when the search was given up.
      calls: how many calls were made.
      fits: most rows of a call that memory sufficed for; None where it never ran out.
      limited: the exception for which `Experience.most` fell; None where it did not.
    """

    results: list[tuple[Rows, _T]] = field(default_factory=list)
    failed: dict[int, Exception] = field(default_factory=dict)
    given_up: dict[int, Exception] = field(default_factory=dict)
    calls: int = 0
    fits: int | None = None
    limited: Exception | None = None

    @property
    def errors(self) -> Mapping[int, Exception]:
        """All rows without result."""
        return {**self.failed, **self.given_up}


def isolate(
    call: Callable[[Rows], _T],
    rows: Rows,
    *,
    call_rows: int | None = None,
    experience: Experience | None = None,
    give_up: Callable[[int], bool] = lambda tries: False,
    confirm: Callable[[Rows, _T], bool | None] = lambda rows, result: True,
) -> RowOutcomes[_T]:
    """Calls `call` on all `rows`, in as few calls as possible, around those that fail.

    Args:
      call: computes the given rows (ascending indices); may raise anything. A ProcessLostError,
        which no row causes, is passed on.
      rows: the indices to compute, ascending.
      call_rows: most rows in one call.
      experience: of earlier runs; it grows by this one.
      give_up: whether the model is broken, so that no further row needs to be tried; told how many
        rows failed by themselves. Asked while none has worked, from `FEWEST_TRIES` on.
      confirm: whether rows that were computed together are what a call gives one of them alone;
        makes one call, which counts. None: that could not be found out now.

    Returns:
      results in row order.

    Raises:
      ProcessLostError: see `call`.
    """
    known = Experience() if experience is None else experience
    return _Search(call, rows, call_rows, known, give_up, confirm).run()


class _LimitFell(Exception):  # noqa: N818  # no error: what is left is begun anew, in smaller calls
    pass


class _Search(Generic[_T]):
    """One run. Rows are settled from the first to the last, so what is left is one stretch."""

    def __init__(
        self,
        call: Callable[[Rows], _T],
        rows: Rows,
        call_rows: int | None,
        experience: Experience,
        give_up: Callable[[int], bool],
        confirm: Callable[[Rows, _T], bool | None],
    ) -> None:
        self._call = call
        self._left = rows
        self._limit = min(call_rows or max(len(rows), 1), experience.most or len(rows) or 1)
        self._experience = experience
        self._give_up = give_up
        self._confirm = confirm
        self._outcome: RowOutcomes[_T] = RowOutcomes()

    def run(self) -> RowOutcomes[_T]:
        while len(self._left):
            rows = self._next_rows()
            try:
                error = self._attempt(rows)
                if error is not None:
                    self._find(rows, error)
            except _LimitFell:
                continue
        if len(self._outcome.results) > 1:
            self._outcome.results.sort(key=lambda result: int(result[0][0]))
        return self._outcome

    def _next_rows(self) -> int:
        left = len(self._left)
        most = min(self._limit, left)
        group = self._experience.share.group_rows(most)
        # Groups of one length: a short one at the end would cost a call for little.
        return most if group == most else ceil(left / ceil(left / group))

    def _attempt(self, count: int) -> Exception | None:
        """Calls with the next rows; they are settled where it works, else the error returns.

        Raises:
          _LimitFell: see there.
        """
        part = self._left[:count]
        try:
            result = self._called(part)
        except OutOfMemoryError as error:
            if count == 1:
                return error
            self._limit = self._outcome.fits = count // 2
            raise _LimitFell from error
        except ProcessLostError:
            raise
        except Exception as error:
            self._experience.failed = True
            return error
        self._left = self._left[count:]
        self._outcome.results.append((part, result))
        self._experience.share.note_good(count)
        if self._experience.failed and count > 1:
            self._trust(part, result)
        return None

    def _called(self, part: Rows) -> _T:
        self._note_call()
        return self._call(part)

    def _note_call(self) -> None:
        self._outcome.calls += 1
        self._experience.share.note_call()

    def _find(self, count: int, error: Exception) -> None:
        """Narrows the next `count` rows, which failed together, down to the first bad one."""
        suspects, failing = count, self._left[:count]
        while suspects > 1 or len(failing) > 1:
            piece = max(1, suspects // 2)
            found = self._attempt(piece)
            if found is not None:
                suspects, failing, error = piece, self._left[:piece], found
            elif suspects > piece:
                suspects -= piece
            else:  # all that failed together works apart
                self._explain(failing, error)
                return
        self._fail(count, error)

    def _fail(self, group: int, error: Exception) -> None:
        """The next row is bad."""
        outcome = self._outcome
        outcome.failed[int(self._left[0])] = error
        self._left = self._left[1:]
        if isinstance(error, OutOfMemoryError):
            return
        self._experience.share.note_bad(group)
        tries = len(outcome.failed)
        if not outcome.results and tries >= FEWEST_TRIES and self._give_up(tries):
            outcome.given_up = {int(row): error for row in self._left}
            self._left = self._left[:0]

    def _explain(self, failing: Rows, error: Exception) -> None:
        """Tells whether rows fail together that work apart, or have failed only once."""
        try:
            self._called(failing)
        except OutOfMemoryError:
            self._limit = self._outcome.fits = len(failing) // 2
        except ProcessLostError:
            raise
        except Exception:
            self._lower(len(failing) // 2, error)
            together = next((each for each in self._outcome.results if len(each[0]) > 1), None)
            if together is not None:
                self._trust(*together)

    def _lower(self, most: int, error: Exception) -> None:
        self._limit = min(self._limit, most)
        self._experience.most = most
        self._outcome.limited = error

    def _trust(self, part: Rows, result: _T) -> None:
        """Believes rows that were computed together when one of them is the same alone.

        Raises:
          _LimitFell: it is not; all that was computed together is to be computed again.
        """
        if self._experience.confirmed:
            return
        self._note_call()
        same = self._confirm(part, result)
        if same or same is None:
            self._experience.confirmed = bool(same)
            return
        results = self._outcome.results
        together = [rows for rows, _ in results if len(rows) > 1]
        self._outcome.results = [each for each in results if len(each[0]) == 1]
        self._left = np.sort(np.concatenate([*together, self._left]))
        self._lower(1, ModelFaultError("rows that are computed together differ from a row alone"))
        raise _LimitFell
