"""Between Arrow's lists of equal length and matrices, without a Python object for each number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

Array = np.ndarray[Any, Any]


def matrix(column: pa.Array | pa.ChunkedArray) -> Array:
    """Lists of numbers as float32[rows, length]."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values: Array = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float32, copy=False).reshape(len(column), -1)


def list_array(rows: Array) -> pa.ListArray:
    """The rows of a matrix as lists."""
    count, length = rows.shape
    offsets = np.arange(count + 1, dtype=np.int32) * length
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.reshape(-1)))
