"""How many records travel together, where the user leaves it to the program."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from pipeline.core.record_spec import FieldSpec, RecordSpec
from pipeline.core.tensors import numpy_dtype

CALL_ROWS = 1024
_SMALL_RECORD_ROWS = 4096
_SMALL_RECORD_BYTES = 1024


def call_rows(max_batch_size: int) -> int:
    """Most rows of a call of a model that is not known to be quick; 0 leaves it to the program."""
    return max_batch_size or CALL_ROWS


def block_rows(max_batch_size: int, record: RecordSpec, pass_through: Collection[str] = ()) -> int:
    """Most rows of a batch of a batch job; 0 leaves it to the program.

    What a batch costs by itself is spread over its rows: of small records, thousands take no more
    memory than few large ones. Text and bytes may be of any size, so they count as large, as does
    what is passed through without a declared type.
    """
    if max_batch_size:
        return max_batch_size
    sizes = [_row_bytes(field) for field in record.fields.values()]
    known = [size for size in sizes if size is not None]
    declared = len(known) == len(sizes) and set(pass_through) <= set(record.fields)
    small = declared and sum(known) <= _SMALL_RECORD_BYTES
    return _SMALL_RECORD_ROWS if small else CALL_ROWS


def _row_bytes(field: FieldSpec) -> int | None:
    """Bytes of a row of a field; None where they vary."""
    if field.dtype in ("string", "bytes"):
        return None
    lengths = [length for length in field.shape if length is not None]
    if len(lengths) < len(field.shape):
        return None
    return numpy_dtype(field.dtype).itemsize * prod(lengths)
