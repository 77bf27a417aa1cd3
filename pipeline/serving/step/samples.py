"""Rows that are computed once more while a job runs, each by itself, to compare the results.

The rehearsal has seen a few rows only. Records may bring to light what they did not: a model that
normalises over the batch, keeps state, or draws random numbers. So a row of some batches, mostly of
the first ones, goes through its model again, past the merging of calls, and must be given the same
within the tolerance of golden examples. One difference may be a tie or an odd row, however often
that comes; different rows that differ are not. Where a job can fail for it, more rows are looked at
after a first difference.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import deque
from collections.abc import Mapping
from functools import partial

import numpy as np

from pipeline.backends.base import Servable
from pipeline.batch import columns
from pipeline.batch.batch import Batch
from pipeline.batch.columns import BatchColumn, presence_of, values_of
from pipeline.batch.rounding import Difference
from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.readable import logger
from pipeline.serving.process_handle import process_object
from pipeline.serving.step import agreement
from pipeline.serving.step.beside import with_record_keys
from pipeline.serving.step.model_step import ModelStep, rounding_of
from pipeline.spec.model import ModelSpec

_LOGGER = logger(__name__)

MAX_DIFFERENCES = 3
"""So many among the last samples are no accident."""

_BATCHES = 200
"""A sample costs a call at most, so it costs half a percent of calls at most, in the long run."""
_LAST = 100
_ROWS = 8
"""Most rows of a batch in which one differs."""
_CALM = 20
"""After a difference, each batch is looked at until so many samples in a row agree."""


class RowSamples:
    """The samples of one model in this process. Any thread may call.

    Args:
      spec: the model's entry in the ensemble file.
      max_differences: raise at so many different rows among the last 100 samples; 0 never raises.
    """

    def __init__(self, spec: ModelSpec, max_differences: int = 0) -> None:
        self._spec = spec
        self._max = max_differences
        self._compares = spec.independent_rows
        self._batches = itertools.count()  # needs no lock, which most batches would only wait for
        self._lock = threading.Lock()
        self._last: deque[int | None] = deque(maxlen=_LAST)  # None, or which row differed
        self._wary = 0  # samples that must agree before most batches are passed over again
        self._rows = random.Random(0)  # the same rows in every run
        self._step = ModelStep(spec)
        self._failure = ""

    def look(self, done: Batch, servable: Servable) -> list[bool]:
        """Computes a row of a finished batch once more, or several, if it is the batch's turn.

        Args:
          done: with the columns that the model read, and those that it wrote.
          servable: what wrote them.

        Returns:
          for each row that was computed, whether it was given the same.

        Raises:
          ModelFaultError: too many of the last rows were given something else. Once raised, it is
            raised for every batch: a runner that tries again must not get further.
        """
        if not self._compares or not len(done):
            return []
        if self._failure:
            raise ModelFaultError(self._failure)
        if not _is_turn(next(self._batches)) and not self._wary:
            return []
        with self._lock:
            rows = self._rows.sample(range(len(done)), min(_ROWS, len(done)))
        same: list[bool] = []
        try:
            for row in rows:
                same.append(self._is_same(done, row, servable))
                if all(same) or not self._max:
                    break
        except (OutOfMemoryError, ProcessLostError):
            pass  # the next batch meets it as well
        return same

    def _is_same(self, done: Batch, row: int, servable: Servable) -> bool:
        taken = np.array([row])
        read = {c: columns.take(done.columns[c], taken) for c in self._spec.columns_read()}
        read = dict(with_record_keys(self._spec, read, [done.ids[row]]))
        there = {
            tensor: columns.take(values_of(done.columns[column]), taken)
            for tensor, column in self._spec.outputs.items()
        }
        apart = agreement.compare_row(
            agreement.first_row(there),
            lambda: agreement.first_row(
                self._step.compute(read, np.arange(1), servable.unmerged())
            ),
            rounding_of(self._spec, servable),
        )
        self._note(apart, read, done)
        return apart is None

    def _note(self, apart: Difference | None, read: Mapping[str, BatchColumn], done: Batch) -> None:
        with self._lock:
            self._last.append(None if apart is None else _identity(read))
            samples, differences = len(self._last), len(set(self._last) - {None})
            if apart is not None and self._max:
                self._wary = _CALM
            elif self._wary:
                self._wary -= 1
        if apart is None:
            return
        version = done.release.version_of(self._spec.name).label if done.release else "unknown"
        told = (
            f"model '{self._spec.name}' version {version} gives a row something else alone than in "
            f"its batch: output '{apart.output}' was {apart.one} in the batch, but {apart.other} "
            f"alone ({differences} of the last {samples} rows that were computed once more); if "
            "that is meant, set `independent_rows: false` on the model"
        )
        _LOGGER.warning("%s", told)
        if 0 < self._max <= differences:
            with self._lock:
                self._failure = told
            raise ModelFaultError(told)


def _is_turn(batch: int) -> bool:
    """Whether it is the turn of a batch: of the 1st, 2nd, 4th, 8th... and then of one in 200."""
    number = batch + 1
    return batch % _BATCHES == 0 or (number < _BATCHES and number & batch == 0)


def _identity(read: Mapping[str, BatchColumn]) -> int:
    """The same number for rows of the same values."""
    values = agreement.first_row({name: values_of(column) for name, column in read.items()})
    present = [bool(presence_of(column)[0]) for column in read.values()]
    return hash(repr([present, [value.tolist() for value in values.values()]]))


def process_samples(job_key: str, spec: ModelSpec, max_differences: int) -> RowSamples:
    """The samples of one model of a job in this process."""
    make = partial(RowSamples, spec, max_differences)
    return process_object(RowSamples, (job_key, spec.name), make)
