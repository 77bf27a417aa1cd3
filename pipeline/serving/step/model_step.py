"""One model run over a batch: columns in, columns out, failing rows set aside.

Which rows fail, and whether their number does, `serving.step.bisection` finds out: exactly the bad
ones become rejects, at any share of them. What it has learned of a model version serves the next
batches. Whether a model is broken of which no row works tells `serving.step.faults`.

What a framework never sees here: ragged columns (padded or grouped before), more rows than it
takes at once, a dtype it did not declare, a number that this dtype cannot hold. What the batch
never gets: an output with another number of rows, or one that is text here and bytes there.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from pipeline.backends.base import Servable
from pipeline.backends.reasons import own_words, with_type
from pipeline.batch import casts, columns, joining, rounding, texts
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Array, BatchColumn, Column, Masked, Ragged
from pipeline.batch.tensors import TensorSpec, is_single, numpy_dtype
from pipeline.errors import ModelFaultError, OutOfMemoryError, RowsError
from pipeline.readable import logger
from pipeline.serving.step import agreement, bisection, gaps
from pipeline.serving.step.agreement import OutputValues, first_row
from pipeline.serving.step.beside import count_cut, with_record_keys
from pipeline.serving.step.bisection import Experience
from pipeline.serving.step.faults import ModelFaults
from pipeline.serving.step.memory_limit import MemoryLimit
from pipeline.serving.step.outputs import checked
from pipeline.spec.model import ConstantInput, ModelSpec

_LOGGER = logger(__name__)

_QUICK_SECS = 0.01
# Versions whose most rows were logged: several threads find them out.
_told: WeakSet[Servable] = WeakSet()


@dataclass
class _Version:
    """What is known of a model version.

    Attributes:
      experience: of its calls.
      has_worked: a row that it has computed is kept.
    """

    experience: Experience = field(default_factory=Experience)
    has_worked: bool = False


def rounding_of(spec: ModelSpec, servable: Servable) -> float:
    """The tolerance for a model's results; see `batch.rounding`.

    On a GPU matrix products have no more digits than in half precision, as TF32 takes them.
    """
    coarse = spec.precision == "half" or servable.half_inside or servable.device != "cpu"
    return rounding.HALF if coarse else rounding.FULL


class ModelStep:
    """Runs one model of the ensemble. One instance for each thread.

    It counts faults, and remembers how many rows memory sufficed for, and for each version what it
    learned of bad rows and of the number of rows that it takes.

    Args:
      spec: the model's entry in the ensemble file.
      call_rows: most rows in one call, when the entry sets none itself.
      quick_rows: most rows in one call of a model that takes no more than 10 ms for a full one,
        when the entry sets none itself: it has shown that it needs little for a row.
      max_model_faults: raise after so many batches in a row of which no row could be computed;
        0 never raises.
      faults_raise: whether it does raise; otherwise it logs an error.
      sparse: columns that may stay sparse, see `Graph.sparse`; None for all.

    Attributes:
      cut_texts: rows of the last batch of which the model read a part of its text only.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        call_rows: int | None = None,
        quick_rows: int | None = None,
        max_model_faults: int = 0,
        faults_raise: bool = True,
        sparse: Collection[str] | None = None,
    ) -> None:
        self._spec = spec
        kept = spec.outputs.values() if sparse is None else sparse
        self._dense = {tensor for tensor, column in spec.outputs.items() if column not in kept}
        self.cut_texts = 0
        self._quick_rows = 0 if spec.max_batch_size else quick_rows or 0
        self._limit = MemoryLimit(spec.max_batch_size or call_rows)
        self._faults = ModelFaults(spec.name, max_model_faults, raises=faults_raise)
        self._versions: WeakKeyDictionary[Servable, _Version] | None = None  # cannot be pickled
        self._constants = {
            tensor: binding.array()
            for tensor, binding in spec.inputs.items()
            if isinstance(binding, ConstantInput)
        }
        self._bindings = spec.batched_inputs

    def run(self, batch: Batch, servable: Servable) -> Batch:
        """The batch with the model's output columns; rows it cannot compute become rejects.

        Raises:
          ModelFaultError: too many batches in a row failed as a whole.
          ProcessLostError: the process that computes is gone; the batch is to be tried again.
        """
        self.cut_texts = 0
        batch = self._without_lost(batch, servable)
        if not len(batch):
            return batch
        version = self._version(servable)
        available = with_record_keys(self._spec, batch.columns, batch.ids)
        most = self._limit.rows or len(batch)
        faults = self._faults.for_batch(
            lambda row: self._call(row, np.arange(1), servable), version.experience.share
        )
        began = time.perf_counter()
        outcome = bisection.isolate(
            lambda rows: self._call(available, rows, servable),
            np.arange(len(batch)),
            call_rows=most,
            experience=version.experience,
            give_up=faults.give_up,
            confirm=lambda rows, result: self._confirm(available, rows, result, servable),
        )
        full_call_secs = (time.perf_counter() - began) * most / len(batch)
        if outcome.fits is not None:
            self._limit.fall(outcome.fits)
        else:
            self._limit.grow()
            if not outcome.errors and len(batch) > most and full_call_secs < _QUICK_SECS:
                self._allow_more(servable)
        if outcome.limited is not None:
            self._tell_limit(servable, version.experience.most, outcome.limited)
        if outcome.results:
            self._note_good(available, outcome, version)
        broken = not outcome.results and faults.is_broken(outcome)
        reasons = {row: self._reason(outcome, row, broken) for row in outcome.errors}
        batch = batch.reject(reasons, stage="inference", model=self._spec.name)
        if not outcome.results:
            return batch
        results = [result for _, result in outcome.results]
        self.cut_texts = count_cut(results)
        joined = {t: joining.join([result[t] for result in results]) for t in self._spec.outputs}
        outputs, bad = self._typed(
            {tensor: column for tensor, (column, _) in joined.items()}, servable
        )
        odd = {
            row: ("model_error", f"model '{self._spec.name}': output '{tensor}' {why}")
            for tensor, (_, found) in joined.items()
            for row, why in found.items()
        }
        named = {column: outputs[tensor] for tensor, column in self._spec.outputs.items()}
        wrong = {row: ("not_text", f"model '{self._spec.name}' {why}") for row, why in bad.items()}
        batch = batch.with_columns(named)
        return batch.reject({**wrong, **odd}, stage="inference", model=self._spec.name)

    def _without_lost(self, batch: Batch, servable: Servable) -> Batch:
        """The batch without the rows whose numbers the model's tensors cannot hold."""
        reasons = {
            row: ("cast_error", f"model '{self._spec.name}' {why}")
            for row, why in self._lost(batch.columns, servable).items()
        }
        return batch.reject(reasons, stage="inference", model=self._spec.name)

    def _lost(self, available: Mapping[str, BatchColumn], servable: Servable) -> dict[int, str]:
        """Row -> which number in it a tensor cannot hold."""
        found: dict[int, str] = {}
        declared = {tensor.name: tensor.dtype for tensor in servable.signature.inputs or ()}
        for tensor, binding in self._spec.column_inputs.items():
            column, dtype = available[binding.column], declared.get(tensor)
            if isinstance(column, Masked):
                dtype = gaps.dtype_of_gaps(column, dtype)
            values = columns.values_of(column)  # no placeholder is lost
            if dtype in (None, "string", "bytes") or not len(column) or not _is_numeric(values):
                continue
            for row, value in casts.lost_rows(values, dtype).items():
                found.setdefault(
                    row,
                    f"input '{tensor}': found {value} in column '{binding.column}', expected what "
                    f"{dtype} can hold",
                )
        return found

    def _typed(
        self, outputs: Mapping[str, Column], servable: Servable
    ) -> tuple[dict[str, Column], dict[int, str]]:
        """The outputs, those of text as what entry or model say; row -> why it is not that."""
        declared = {
            tensor.name for tensor in servable.signature.outputs or () if tensor.dtype == "bytes"
        }
        declared |= set(self._spec.bytes_outputs)
        typed: dict[str, Column] = {}
        bad: dict[int, str] = {}
        for tensor, column in outputs.items():
            typed[tensor] = column
            if not _is_numeric(column):
                dtype = "bytes" if tensor in declared else "string"
                typed[tensor], wrong = texts.typed(column, dtype)
                bad |= {row: f"output '{tensor}' {why}" for row, why in wrong.items()}
        return typed, bad

    def _version(self, servable: Servable) -> _Version:
        if self._versions is None:
            self._versions = WeakKeyDictionary()
        version = self._versions.get(servable)
        if version is None:
            version = self._versions[servable] = _Version()
            if servable.sound_row is not None:
                self._faults.keep(servable.sound_row)
        return version

    def _confirm(
        self,
        available: Mapping[str, BatchColumn],
        rows: Array,
        result: Mapping[str, Column],
        servable: Servable,
    ) -> bool | None:
        """Whether the first of some rows has the outputs by itself that it has among them.

        None where memory does not suffice to tell.

        Raises:
          ProcessLostError: see `run`.
        """
        if not self._spec.independent_rows:
            return True

        def alone(place: int) -> OutputValues:
            one = self._call(available, rows[place : place + 1], servable.unmerged())
            return first_row(one)

        answers = (
            (first_row({t: columns.part(c, place, place + 1) for t, c in result.items()}), place)
            for place in range(min(2, len(rows)))
        )
        pairs = ((among, partial(alone, place)) for among, place in answers)
        try:
            return agreement.compare_rows(pairs, rounding_of(self._spec, servable)) is None
        except OutOfMemoryError:
            return None

    def _note_good(
        self,
        available: Mapping[str, BatchColumn],
        outcome: bisection.RowOutcomes[Any],
        version: _Version,
    ) -> None:
        """Keeps a row of the first batch that a version computes: copied once, not in each call."""
        self._faults.end()
        if not version.has_worked:
            version.has_worked = True
            row = outcome.results[0][0][:1]
            read = self._spec.columns_read()
            self._faults.keep({name: columns.take(available[name], row) for name in read})

    def _tell_limit(self, servable: Servable, most: int | None, error: Exception) -> None:
        if servable in _told:
            return
        _told.add(servable)
        _LOGGER.warning(
            "model '%s' fails on calls of several rows whose rows work by themselves, so its calls "
            "have at most %d from now on; `max_batch_size` says so from the start (%s)",
            self._spec.name,
            most,
            with_type(error),
        )

    def _allow_more(self, servable: Servable) -> None:
        """Lets the next calls have twice as many rows, up to what its caller and it agree on."""
        rows = self._limit.rows or 0
        most = min(self._quick_rows, servable.prepared_rows or self._quick_rows)
        if rows < most:
            self._limit.allow(min(2 * rows, most))

    def compute(
        self, available: Mapping[str, BatchColumn], rows: Array, servable: Servable
    ) -> dict[str, Column]:
        """The outputs for some rows, by tensor name, without any attempt to save rows.

        Outputs that are of variable length are ragged, also where all these rows agree in it.

        Raises:
          RowsError: the model's tensors cannot hold a number of them, or their text is none.
          Exception: what the framework raises, or a ValueError for outputs of the wrong form.
        """
        read = {name: columns.take(available[name], rows) for name in self._spec.columns_read()}
        if bad := self._lost(read, servable):
            raise RowsError(bad)
        made = self._call(available, rows, servable)
        outputs, bad = self._typed({t: made[t] for t in self._spec.outputs}, servable)
        if bad:
            raise RowsError(bad)
        return outputs

    def _call(
        self, available: Mapping[str, BatchColumn], rows: Array, servable: Servable
    ) -> dict[str, Column]:
        """The outputs as the model gives them, for rows that it can be given."""
        whole = len(rows) == len(next(iter(available.values())))
        available = with_record_keys(self._spec, available)
        wanted = {tensor.name: tensor for tensor in servable.signature.inputs or ()}
        inputs: dict[str, Column] = {}
        for tensor, binding in self._bindings.items():
            column = available[binding.column]
            taken = column if whole else columns.take(column, rows)
            if isinstance(taken, Masked):
                declared = wanted.get(tensor)
                taken = gaps.filled(taken, declared.dtype if declared else None)
            elif isinstance(taken, Ragged) and binding.pad_value is not None:
                taken = columns.pad(taken, binding.pad_value)
            # Of categories, a plain array: a framework may look at the type.
            inputs[tensor] = np.asarray(taken) if isinstance(taken, np.ndarray) else taken
        ragged: set[str] = set()

        def predict(dense: Mapping[str, Array]) -> dict[str, Column]:
            cast = {t: _cast(array, wanted.get(t)) for t, array in dense.items()}
            outputs = self._predict(cast, servable)
            ragged.update(t for t, column in outputs.items() if isinstance(column, Ragged))
            return outputs

        outputs = columns.apply_by_shape(predict, inputs, _joined)
        return {t: columns.as_ragged(c) if t in ragged else c for t, c in outputs.items()}

    def _predict(self, inputs: Mapping[str, Array], servable: Servable) -> dict[str, Column]:
        rows = len(next(iter(inputs.values())))
        fixed = servable.signature.fixed_batch_rows
        if fixed is None or rows == fixed:
            outputs = servable.predict({**inputs, **self._constants})
            return checked(self._spec.outputs, outputs, rows, self._dense)
        parts = []
        for start in range(0, rows, fixed):
            part = {t: array[start : start + fixed] for t, array in inputs.items()}
            there = len(next(iter(part.values())))
            part = {t: columns.repeat_last(array, fixed) for t, array in part.items()}
            outputs = servable.predict({**part, **self._constants})
            result = checked(self._spec.outputs, outputs, fixed, self._dense)
            parts.append({t: columns.part(column, 0, there) for t, column in result.items()})
        return {t: _joined([part[t] for part in parts]) for t in self._spec.outputs}

    def _reason(
        self, outcome: bisection.RowOutcomes[Any], row: int, broken: bool
    ) -> tuple[str, str]:
        error = outcome.errors[row]
        if isinstance(error, OutOfMemoryError):
            return "out_of_memory", f"not even one row fits: {own_words(error)}"
        text = with_type(error)
        if broken or (isinstance(error, ModelFaultError) and not outcome.results):
            return "model_fault", f"model '{self._spec.name}' fails on every row: {text}"
        return "model_error", f"model '{self._spec.name}' fails on this row: {text}"


def _cast(array: Array, tensor: TensorSpec | None) -> Array:
    """The array as the model declared it; text is encoded or decoded by the backend."""
    if tensor is None:
        return array
    if is_single(array.shape[1:], tensor.row_shape):
        array = array.reshape(-1, 1)
    if tensor.dtype is None or tensor.dtype in ("string", "bytes") or array.dtype.kind == "O":
        return array
    return array.astype(numpy_dtype(tensor.dtype), copy=False)


def _joined(parts: Sequence[Column]) -> Column:
    """The results for parts of one call, ragged where one is.

    Raises:
      ModelFaultError: they have no common form; row by row it is told which one has another.
    """
    column, bad = joining.join(parts)
    if bad:
        raise ModelFaultError(f"an output {next(iter(bad.values()))}")
    return columns.as_ragged(column) if any(isinstance(p, Ragged) for p in parts) else column


def _is_numeric(column: Column) -> bool:
    if isinstance(column, Ragged):  # an empty row may not know what the others are
        return not any(row.dtype.kind in "OUS" for row in column.rows)
    return column.dtype.kind not in "OUS"
