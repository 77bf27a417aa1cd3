"""Tells a broken model from bad rows, where none of a batch could be computed.

A model that worked before is broken only if a row that it has computed fails as well: one is kept
and tried again. So records that are bad, one or many in a row, alone or in batches, never count
against the model; the first batch after it broke does. That try is a call that settles no row, so
it is made only within the calls that bad rows may cost (`serving.step.bad_share`).

The first such row is one that the rehearsal computed in this process. A model without any, as it
was not warmed up, has nothing to be measured by. Its rows are tried all the same, up to
`MOST_TRIES` of them; a batch counts as its fault from the `FEWEST_TRIES`-th row on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.backends.reasons import own_words
from pipeline.batch.columns import BatchColumn
from pipeline.errors import ModelFaultError, ProcessLostError
from pipeline.readable import logger
from pipeline.serving.step.bad_share import BadShare
from pipeline.serving.step.bisection import FEWEST_TRIES, RowOutcomes

_LOGGER = logger(__name__)

MOST_TRIES = 4096
"""As many rows as a batch job has in its largest batches."""

Compute = Callable[[Mapping[str, BatchColumn]], object]


class ModelFaults:
    """Counts the batches in a row that a model was broken for. One for each thread.

    Args:
      model: its name.
      most: raise after so many; 0 never raises.
      raises: if not, so many are only told, once.
    """

    def __init__(self, model: str, most: int, *, raises: bool = True) -> None:
        self._model = model
        self._most = most
        self._raises = raises
        self.count = 0
        self.tries = 0  # rows that failed before any worked
        self.good: Mapping[str, BatchColumn] | None = None

    def for_batch(self, compute: Compute, share: BadShare) -> FaultsOfBatch:
        """What finds out about the next batch.

        Args:
          compute: the model, for the one row of some columns; may raise anything.
          share: what bad rows may cost.
        """
        return FaultsOfBatch(self, compute, share)

    def keep(self, good: Mapping[str, BatchColumn]) -> None:
        """Remembers a row that the model has computed: columns with one row."""
        self.good = good

    def end(self) -> None:
        """The model works."""
        self.count = self.tries = 0

    def add(self, outcome: RowOutcomes[Any]) -> None:
        """One batch more.

        Raises:
          ModelFaultError: it is one too many.
        """
        self.count += 1
        error = next(iter(outcome.errors.values()))
        _LOGGER.warning(
            "model '%s' failed on every row of a batch of %d (%d in a row): %s",
            self._model,
            len(outcome.errors),
            self.count,
            own_words(error),
        )
        if not 0 < self._most <= self.count:
            return
        told = (
            f"model '{self._model}' failed on every row of {self.count} batches in a row; the last "
            f"error: {own_words(error)}"
        )
        if self._raises:
            raise ModelFaultError(told) from error
        if self.count == self._most:
            _LOGGER.error("%s; until it works again, its records are dead letters", told)


class FaultsOfBatch:
    """Whether the model is broken, as one batch shows it; tries the good row once at most."""

    def __init__(self, faults: ModelFaults, compute: Compute, share: BadShare) -> None:
        self._faults = faults
        self._compute = compute
        self._share = share
        self._good_row_works: bool | None = None

    def give_up(self, tries: int) -> bool:
        """Whether no further row needs to be tried after `tries` that failed.

        Raises:
          ProcessLostError: the process that computes is gone.
        """
        if self._faults.good is None:
            return self._faults.tries + tries >= MOST_TRIES
        return not self._works(self._faults.good)

    def is_broken(self, outcome: RowOutcomes[Any]) -> bool:
        """Whether a batch of which no row worked is the model's fault; counts it then.

        Raises:
          ModelFaultError: it is one too many.
          ProcessLostError: the process that computes is gone.
        """
        if self._faults.good is None:
            self._faults.tries += len(outcome.errors)
            broken = self._faults.tries >= FEWEST_TRIES
        else:
            broken = not self._works(self._faults.good)
        if broken:
            self._faults.add(outcome)
        return broken

    def _works(self, good: Mapping[str, BatchColumn]) -> bool:
        if self._good_row_works is None:
            if not self._faults.count and not self._share.affords_call:
                return True  # innocent, as far as is known
            self._share.note_call()
            try:
                self._compute(good)
            except ProcessLostError:
                raise
            except Exception:
                self._good_row_works = False
            else:
                self._good_row_works = True
                self._faults.end()
        return self._good_row_works
