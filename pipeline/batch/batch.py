"""The batch: what travels through the graph instead of single records.

A batch is immutable: every method that changes something returns a new one, which shares the
unchanged arrays. Rows that fail on the way leave the columns and stay in the batch as rejects, so
that rows + rejects is constant from the first step to the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from pipeline.batch import columns
from pipeline.batch.block import Origin
from pipeline.batch.columns import BatchColumn, Masked
from pipeline.batch.payloads import Payloads, estimated_bytes
from pipeline.batch.payloads import concatenate as concatenate_payloads
from pipeline.batch.payloads import take as take_payloads
from pipeline.batch.release import Release
from pipeline.readable import readable

RecordId = str | int | None


@dataclass(frozen=True)
class Reject:
    """A row that failed, on its way to become a dead letter.

    Attributes:
      payload: the record as it arrived.
      record_id: its id; None if it failed before the id was known.
      stage: "read", "decode", "prepare", "inference", "combine" or "encode".
      error_type: short stable name of the failure; dead letters are counted by it.
      error_message: what was found and what was expected, made readable.
      model: the model that failed, if one did.
      release: the release that served the batch, if it had one by then.
      origin: what came with its message, if the source has that.
    """

    payload: bytes
    record_id: RecordId
    stage: str
    error_type: str
    error_message: str
    model: str | None = None
    release: Release | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "error_message", readable(self.error_message))


@dataclass(frozen=True)
class Batch:
    """Rows as columns.

    Attributes:
      ids: one for each row.
      payloads: the records as they arrived, for dead letters.
      columns: name -> column; every column has as many rows as `ids`.
      pass_through: for each row, an encoded JSON object with the keys to repeat; None if there are
        none.
      release: what serves this batch; None before AssignRelease.
      rejects: rows that failed so far.
      origins: one for each row, if the source has them, so that event times survive batching.
    """

    wire_form: ClassVar[str] = "batch/1"

    ids: tuple[RecordId, ...]
    payloads: Payloads
    columns: Mapping[str, BatchColumn]
    pass_through: tuple[bytes, ...] | None = None
    release: Release | None = None
    rejects: tuple[Reject, ...] = field(default=())
    origins: tuple[Origin, ...] | None = None

    def __len__(self) -> int:
        """The number of rows, rejects not counted."""
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes held by the columns' arrays (text counts as its pointers)."""
        return sum(column.nbytes for column in self.columns.values())

    @property
    def estimated_bytes(self) -> int:
        """About the bytes of columns, payloads and rejects; makes no payload."""
        rejected = sum(len(reject.payload) for reject in self.rejects)
        return self.nbytes + estimated_bytes(self.payloads) + rejected

    def with_columns(self, added: Mapping[str, BatchColumn]) -> Batch:
        """The batch with more columns."""
        return replace(self, columns={**self.columns, **added})

    def with_release(self, release: Release) -> Batch:
        """The batch, to be served by `release`."""
        return replace(self, release=release)

    def reject(
        self, reasons: Mapping[int, tuple[str, str]], *, stage: str, model: str | None = None
    ) -> Batch:
        """The batch without some rows, which become rejects.

        Args:
          reasons: row -> (error_type, error_message).
          stage: where they failed.
          model: which model failed, if one did.
        """
        if not reasons:
            return self
        rejected = tuple(
            Reject(
                payload=self.payloads[row],
                record_id=self.ids[row],
                stage=stage,
                error_type=error_type,
                error_message=message,
                model=model,
                release=self.release,
                origin=None if self.origins is None else self.origins[row],
            )
            for row, (error_type, message) in sorted(reasons.items())
        )
        kept = np.array([row for row in range(len(self)) if row not in reasons], dtype=np.intp)
        return replace(
            self.take(kept),
            rejects=self.rejects + rejected,
        )

    def take(self, rows: np.ndarray[Any, Any]) -> Batch:
        """The batch with the given rows only (integer indices), and all its rejects."""
        extras, origins = self.pass_through, self.origins
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            payloads=take_payloads(self.payloads, rows.tolist()),
            columns={name: columns.take(column, rows) for name, column in self.columns.items()},
            pass_through=None if extras is None else tuple(extras[i] for i in rows),
            origins=None if origins is None else tuple(origins[i] for i in rows),
        )


def concatenate(batches: Sequence[Batch]) -> Batch:
    """The rows and the rejects of all batches, one after the other.

    Args:
      batches: at least one; of one job before it assigns releases, so that they agree in names,
        dtypes and ranks of columns, and in whether they have what else a batch may have.
    """
    rejects = tuple(chain.from_iterable(batch.rejects for batch in batches))
    # Columns without rows have no shape that counts.
    filled = [batch for batch in batches if len(batch)] or batches[:1]
    first = filled[0]
    if len(filled) == 1:
        return replace(first, rejects=rejects)
    extras, origins = first.pass_through, first.origins
    return replace(
        first,
        ids=tuple(chain.from_iterable(batch.ids for batch in filled)),
        payloads=concatenate_payloads([batch.payloads for batch in filled]),
        columns={n: _concatenated([batch.columns[n] for batch in filled]) for n in first.columns},
        pass_through=extras and tuple(chain(*(batch.pass_through or () for batch in filled))),
        rejects=rejects,
        origins=origins and tuple(chain(*(batch.origins or () for batch in filled))),
    )


def _concatenated(parts: Sequence[BatchColumn]) -> BatchColumn:
    """As `columns.concatenate`, but rows that may differ in length do so wherever they agree."""
    values = columns.concatenate_ragged([columns.values_of(part) for part in parts])
    if not any(isinstance(part, Masked) for part in parts):
        return values
    return Masked(values, np.concatenate([columns.presence_of(part) for part in parts]))
