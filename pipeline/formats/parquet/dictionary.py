"""Texts in a dictionary: a chunk has each of them once, for all rows that name it by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import unpack_from

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch.columns import Array
from pipeline.formats.format import Reading

_LENGTH_BYTES = 4
_QUICK_BYTES = 1 << 15


def longest_text(values: memoryview) -> int:
    """The bytes of the longest of texts that follow each other, each behind its length.

    Args:
      values: the bytes of the page, decompressed. Where they are cut, what is there counts.
    """
    end = len(values)
    at, longest = _short_texts(np.frombuffer(values, np.uint8))
    while at + _LENGTH_BYTES <= end:
        (length,) = unpack_from("<I", values, at)
        at += _LENGTH_BYTES + length
        longest = max(longest, min(length, end))
    return longest


def _short_texts(data: Array) -> tuple[int, int]:
    """Where the texts end that are found ten times as fast, and the longest of them.

    They are shorter than 256 bytes, and nothing in them looks like such a length. That each ends
    where the next begins proves it. Of some bytes at a time, since those are in the cache.
    """
    at = longest = 0
    while at < len(data):
        some = data[at : at + _QUICK_BYTES]
        is_zero = some == 0
        starts = np.flatnonzero(is_zero[1:-2] & is_zero[2:-1] & is_zero[3:])
        lengths = some[starts]
        ends = starts + lengths + _LENGTH_BYTES
        if not len(starts) or starts[0] or not np.array_equal(ends[:-1], starts[1:]):
            break
        longest = max(longest, int(lengths.max()))
        at += int(ends[-1])
    return at, longest


def written_out(
    table: pa.RecordBatch, schema: pa.Schema, reading: Reading
) -> Iterator[pa.RecordBatch]:
    """Rows with the texts that they name, as many at a time as memory holds.

    Args:
      table: rows whose texts are numbers in dictionaries.
      schema: of what is made of them.
      reading: how files are read.

    Raises:
      ValueError: the next row is too large.
    """
    ends = np.cumsum(_sum(map(_row_bytes, table.columns), len(table)))
    first = made = 0
    while first < len(ends):
        behind = int(np.searchsorted(ends, made + reading.max_chunk_bytes, side="right"))
        if behind == first:
            raise ValueError(
                f"a row has {ends[first] - made:,} bytes of text; larger rows are read with a "
                f"larger --max_record_bytes (now {reading.max_record_bytes:,})"
            )
        rows = table.take(np.arange(first, behind)) if behind - first < len(ends) else table
        yield rows.cast(schema)
        first, made = behind, ends[behind - 1]


def _row_bytes(array: pa.Array) -> Array:
    """The bytes of the texts that each row names in dictionaries."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _row_bytes(array.storage)
    if pa.types.is_dictionary(kind):
        return _named_bytes(array)
    if pa.types.is_struct(kind):
        return _sum(map(_row_bytes, array.flatten()), len(array))
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        inner = array.values.slice(array.offset * size, len(array) * size)
        return _sum(_row_bytes(inner).reshape(len(array), size).T, len(array))
    if not (pa.types.is_nested(kind) and hasattr(array, "offsets")):
        return np.zeros(len(array), np.int64)
    made: Array = np.concatenate([[0], np.cumsum(_row_bytes(array.values))])
    starts = array.offsets.to_numpy()
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        found: Array = made[starts + array.sizes.to_numpy()] - made[starts]
    else:
        found = made[starts[1:]] - made[starts[:-1]]
    return found


def _named_bytes(array: pa.DictionaryArray) -> Array:
    try:
        lengths = pc.binary_length(array.dictionary)
    except pa.ArrowNotImplementedError:  # no texts
        return np.zeros(len(array), np.int64)
    named = lengths.take(array.indices).cast(pa.int64())
    found: Array = named.fill_null(0).to_numpy(zero_copy_only=False)
    return found


def _sum(parts: Iterable[Array], rows: int) -> Array:
    found: Array = np.zeros(rows, np.int64)
    for part in parts:
        found = found + part
    return found
