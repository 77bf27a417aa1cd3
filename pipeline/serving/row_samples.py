"""Rows that are computed once more while a job runs, each by itself, to compare the results.

The rehearsal has seen a few rows only. Records may bring to light what they did not: a model that
normalises over the batch, keeps state, or draws random numbers. So one row of one batch in some
hundred goes through its model again, past the merging of calls, and must be given the same within
the tolerance of golden examples. One difference may be a tie or an odd row; several are not.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
from collections import deque

import numpy as np

from pipeline.backends.base import Servable
from pipeline.backends.reasons import with_type
from pipeline.core import columns, rounding
from pipeline.core.batch import Batch
from pipeline.core.model_spec import ModelSpec
from pipeline.core.rounding import Difference
from pipeline.errors import ModelFaultError, OutOfMemoryError, ProcessLostError
from pipeline.serving.model_step import ModelStep, rounding_of

_LOGGER = logging.getLogger(__name__)

MAX_DIFFERENCES = 3
"""So many among the last samples are no accident."""

_BATCHES = 200
"""A sample costs a call at most, so it costs half a percent of calls at most."""
_LAST = 100


class RowSamples:
    """The samples of one model in this process. Any thread may call.

    Args:
      spec: the model's entry in the ensemble file.
      max_differences: raise at so many among the last 100 samples; 0 never raises.
    """

    def __init__(self, spec: ModelSpec, max_differences: int = 0) -> None:
        self._spec = spec
        self._max = max_differences
        self._compares = spec.independent_rows
        self._batches = itertools.count()  # needs no lock, which most batches would only wait for
        self._lock = threading.Lock()
        self._last: deque[bool] = deque(maxlen=_LAST)
        self._rows = random.Random(0)  # the same rows in every run
        self._step = ModelStep(spec)
        self._failure = ""

    def look(self, done: Batch, servable: Servable) -> bool | None:
        """Computes a row of a finished batch once more, if it is the batch's turn.

        Args:
          done: with the columns that the model read, and those that it wrote.
          servable: what wrote them.

        Returns:
          whether the row was given the same; None where none was computed.

        Raises:
          ModelFaultError: too many of the last rows were given something else. Once raised, it is
            raised for every batch: a runner that tries again must not get further.
        """
        if not self._compares or not len(done):
            return None
        if self._failure:
            raise ModelFaultError(self._failure)
        if next(self._batches) % _BATCHES:
            return None
        with self._lock:
            row = self._rows.randrange(len(done))
        try:
            apart = self._difference(done, row, servable)
        except (OutOfMemoryError, ProcessLostError):
            return None  # the next batch meets it as well
        self._note(apart, done)
        return apart is None

    def _difference(self, done: Batch, row: int, servable: Servable) -> Difference | None:
        rows = np.array([row])
        read = {c: columns.take(done.columns[c], rows) for c in self._spec.columns_read()}
        there = {
            tensor: next(iter(columns.iterate(columns.take(done.columns[column], rows))))
            for tensor, column in self._spec.outputs.items()
        }
        try:
            alone = self._step.compute(read, np.arange(1), servable.unmerged())
        except (OutOfMemoryError, ProcessLostError):
            raise
        except Exception as error:
            output, value = next(iter(there.items()))
            return Difference(output, f"{value.tolist()!r:.60}", with_type(error))
        again = {tensor: next(iter(columns.iterate(column))) for tensor, column in alone.items()}
        return rounding.difference(there, again, rounding_of(self._spec, servable))

    def _note(self, apart: Difference | None, done: Batch) -> None:
        with self._lock:
            self._last.append(apart is not None)
            samples, differences = len(self._last), sum(self._last)
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


_samples: dict[tuple[str, str], RowSamples] = {}
_samples_lock = threading.Lock()


def process_samples(job_key: str, spec: ModelSpec, max_differences: int) -> RowSamples:
    """The samples of one model of a job in this process."""
    key = (job_key, spec.name)
    found = _samples.get(key)
    if found is None:
        with _samples_lock:
            found = _samples.setdefault(key, RowSamples(spec, max_differences))
    return found
