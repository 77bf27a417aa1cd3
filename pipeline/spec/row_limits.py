"""How many records travel together: what the user says, or what suits the records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod

from pipeline.batch.tensors import numpy_dtype
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import RecordKey

DEFAULT_ROWS = 1024
_SMALL_RECORD_ROWS = 4096
_SMALL_RECORD_BYTES = 1024
_TABLE_ROWS = 8192


@dataclass(frozen=True)
class RowLimits:
    """Most rows of what a job handles at once.

    Attributes:
      block_rows: of a block, and so of a batch.
      call_rows: of a call of a model, unless its entry has a `max_batch_size`.
    """

    block_rows: int
    call_rows: int

    @property
    def quick_rows(self) -> int:
        """Of a call of a model that is known to be quick: a whole batch."""
        return self.block_rows


def row_limits(
    max_batch_size: int,
    record: RecordSpec,
    pass_through: Collection[RecordKey] = (),
    *,
    streaming: bool = False,
) -> RowLimits:
    """The limits of a job.

    What a batch costs by itself is spread over its rows: of small records, thousands take no more
    memory than few large ones. Text and bytes may be of any size, so they count as large, as does
    what is passed through without a declared type. A row of a table, single values of which most
    are numbers, is small whatever its text: each of its many columns costs something by itself, and
    where the text is long after all, blocks are bounded by bytes. In a stream, records wait for
    each other.

    Args:
      max_batch_size: the parameter; 0 leaves it to the program.
      record: of the ensemble.
      pass_through: of the ensemble.
      streaming: whether the job is a streaming one.
    """
    call_rows = max_batch_size or DEFAULT_ROWS
    if max_batch_size or streaming:
        return RowLimits(call_rows, call_rows)
    if _is_table(record):
        return RowLimits(_TABLE_ROWS, call_rows)
    small = _is_small(record, pass_through)
    return RowLimits(_SMALL_RECORD_ROWS if small else call_rows, call_rows)


def _is_table(record: RecordSpec) -> bool:
    fields = record.by_key.values()
    if any(field.shape or field.dtype == "bytes" for field in fields):
        return False
    texts = sum(field.dtype == "string" for field in fields)
    return texts * 2 < len(fields) > 1


def _is_small(record: RecordSpec, pass_through: Collection[RecordKey]) -> bool:
    sizes = [_row_bytes(field) for field in record.by_key.values()]
    known = [size for size in sizes if size is not None]
    declared = len(known) == len(sizes) and set(pass_through) <= set(record.by_key)
    return declared and sum(known) <= _SMALL_RECORD_BYTES


def _row_bytes(field: FieldSpec) -> int | None:
    """Bytes of a row of a field; None where they vary."""
    if field.dtype in ("string", "bytes"):
        return None
    lengths = [length for length in field.shape if length is not None]
    if len(lengths) < len(field.shape):
        return None
    return numpy_dtype(field.dtype).itemsize * prod(lengths)
