"""Batches encoded into Arrow tables, for files that hold columns.

A prediction is a row of ``id`` (text), one column for each output, ``pass_through`` (JSON text)
where something is passed through, ``release_id``, ``generation`` and ``models`` (a struct: model ->
version). Tensors are lists, of lists where they have several axes. A value that a row lacks is
null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.batch.batch import Batch, RecordId
from pipeline.batch.columns import Array, Column, Masked, Ragged, iterate
from pipeline.batch.tensors import Shape, dtype_name, numpy_dtype

RESERVED = ("id", "pass_through", "release_id", "generation", "models")
"""Columns that a table of predictions has besides the outputs."""


def prediction_table(
    batch: Batch, output: Sequence[str], types: Mapping[str, tuple[str, Shape]] | None = None
) -> pa.RecordBatch:
    """The rows of a batch as a table.

    Args:
      batch: its output columns are finite and it carries its release.
      output: columns of a prediction, in order; none has a name in RESERVED.
      types: column -> (dtype, shape of a row), as far as known. A column of lists that are all
        empty here has the type that it has in other batches then.
    """
    if batch.release is None:
        raise ValueError("a batch must carry its release before it can be encoded")
    rows = len(batch)
    made: dict[str, pa.Array] = {"id": _ids(batch.ids)}
    for name in output:
        column, known = batch.columns[name], (types or {}).get(name)
        if isinstance(column, Masked):
            values, present = _array(column.values, known), column.present
            made[name] = pc.if_else(pa.array(present), values, pa.scalar(None, values.type))
        else:
            made[name] = _array(column, known)
    if batch.pass_through is not None:
        made["pass_through"] = pa.array(batch.pass_through, pa.binary()).cast(pa.string())
    made["release_id"] = pa.repeat(pa.scalar(batch.release.release_id, pa.string()), rows)
    made["generation"] = pa.repeat(pa.scalar(batch.release.generation, pa.int64()), rows)
    made["models"] = pa.StructArray.from_arrays(
        [pa.repeat(pa.scalar(v.label, pa.string()), rows) for v in batch.release.versions],
        [version.model for version in batch.release.versions],
    )
    return pa.RecordBatch.from_pydict(made)


def _array(column: Column, known: tuple[str, Shape] | None) -> pa.Array:
    if known is not None and not any(row.size for row in iterate(column)):
        return _empty_lists(column, *known)
    return arrow_array(column)


def arrow_array(column: Column) -> pa.Array:
    """A column as an Arrow array of its values, or of lists of them.

    Half precision becomes single, which other readers know as well.
    """
    if isinstance(column, Ragged):
        if column.rows[0].ndim > 1:
            like = next((row for row in column.rows if row.size), column.rows[0])
            value_type = _values(like.reshape(-1)).type
            for _ in range(column.rows[0].ndim):
                value_type = pa.list_(value_type)
            return pa.array([row.tolist() for row in column.rows], value_type)
        flat = np.concatenate(column.rows)
        return _lists(_values(flat), np.array([len(row) for row in column.rows]))
    made = _values(column.reshape(-1))
    for axis in range(column.ndim - 1, 0, -1):
        lists = int(np.prod(column.shape[:axis]))
        made = _lists(made, np.full(lists, column.shape[axis]))
    return made


def _empty_lists(column: Column, dtype: str, shape: Shape) -> pa.Array:
    arrow_type = _values(np.empty(0, numpy_dtype(dtype))).type
    if dtype == "bytes":
        arrow_type = pa.binary()
    for _ in shape:
        arrow_type = pa.list_(arrow_type)
    return pa.array([row.tolist() for row in iterate(column)], arrow_type)


def _ids(ids: Sequence[RecordId]) -> pa.Array:
    """The ids as text."""
    kinds = set(map(type, ids))
    if kinds == {str}:
        return pa.array(ids, pa.string())
    if kinds == {int}:  # no Python text for each: in half the time
        with suppress(OverflowError):
            return pa.array(ids, pa.int64()).cast(pa.string())
    return pa.array(map(str, ids), pa.string(), size=len(ids))


def _values(flat: Array) -> pa.Array:
    """The Arrow array of a vector."""
    if flat.dtype.kind in "OUS":
        text = dtype_name(flat) == "string"
        return pa.array(flat.tolist(), pa.string() if text else pa.binary())
    return pa.array(flat.astype(np.float32) if flat.dtype == np.float16 else flat)


def _lists(values: pa.Array, lengths: Array) -> pa.ListArray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values)
