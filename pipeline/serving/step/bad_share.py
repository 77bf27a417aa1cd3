"""How many rows the next call has, as far as bad rows were met: a group for group testing.

A call of a group tells of all its rows at once where it works, and nothing but that a bad row is
among them where it fails. So groups are short where bad rows are near each other, and long where
they are rare (Hwang 1972, doi:10.1080/01621459.1972.10481257). The share is learned from the gaps
between bad rows, on a logarithmic scale, on which few of them tell it, whatever it was before.

Two things bound what that costs where bad rows stand as nobody expects: a group grows only with the
good rows since the last bad one, and a credit. Each row that is settled earns a little more than a
call, a call costs one, and there is no group without the credit for the worst that can come of it.
So calls never exceed `1 + SURPLUS` a row plus `CREDIT`. Not safe for several threads.
"""

from __future__ import annotations

from math import exp, log

SURPLUS = 1 / 32
"""Calls a row beyond the one by which each could be tried alone."""
CREDIT = 64.0
"""Calls that may be spent on learning the share, and most that good rows can save up."""
_OF_GAP = 0.7
"""Length of a group in terms of the gap; about two of three such groups work."""
_OF_RUN = 0.5
"""The same in terms of the good rows since the last bad one."""
_FIRST_GAP = 64
_WEIGHT = 0.25


class BadShare:
    """The share of bad rows among those that a model was given, as far as it is known."""

    def __init__(self) -> None:
        self._log_gap: float | None = None  # None: no row was bad so far
        self._good_rows = 0  # since the last bad one
        self._credit = CREDIT

    def group_rows(self, most: int) -> int:
        """Rows of the next call, from 1 to `most`."""
        if self._log_gap is None:
            return most
        rows = max(1, min(most, int(max(_OF_GAP * exp(self._log_gap), _OF_RUN * self._good_rows))))
        # The call, halving down to one row, and that row by itself.
        while rows > 1 and self._credit < 2 + (rows - 1).bit_length():
            rows //= 2
        return rows

    @property
    def affords_call(self) -> bool:
        """Whether a call may be made that settles no row."""
        return self._credit >= 1

    def note_call(self) -> None:
        """A call is made."""
        self._credit -= 1

    def note_good(self, rows: int) -> None:
        """So many rows are computed."""
        self._good_rows += rows
        self._earn(rows)

    def note_bad(self, group: int) -> None:
        """A row is bad, found in a group of so many rows."""
        gap = self._good_rows + 1
        if self._log_gap is None:
            self._log_gap = log(max(gap, min(group, _FIRST_GAP)))
        else:
            self._log_gap += _WEIGHT * (log(gap) - self._log_gap)
        self._good_rows = 0
        self._earn(1)

    def _earn(self, rows: int) -> None:
        self._credit = min(CREDIT, self._credit + (1 + SURPLUS) * rows)
