"""Columns of text and of bytes: each is one of the two, in all of its rows.

Frameworks tell them apart or not: a string of TensorFlow is bytes, of which most happen to be text.
So the ensemble file says which it is, and a row that is not what its column is cannot be used.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.columns import Array, Column, Ragged

_NOT_TEXT = (
    "holds bytes that are not UTF-8 ({}), expected text; if they are no text, name the output in "
    "`bytes_outputs` of the model"
)


def typed(column: Column, dtype: str) -> tuple[Column, dict[int, str]]:
    """A column of ``str``, or one of ``bytes``, from one that may hold both.

    Args:
      column: an object array of both, or ragged rows of such arrays.
      dtype: "string" or "bytes".

    Returns:
      the column, and row -> why its bytes are no text; such a row holds empty text instead.
    """
    bad: dict[int, str] = {}
    if not isinstance(column, Ragged):
        return _typed(column, dtype, bad), bad
    rows = []
    for row, array in enumerate(column.rows):
        wrong: dict[int, str] = {}
        rows.append(_typed(array[np.newaxis], dtype, wrong)[0])
        if wrong:
            bad[row] = wrong[0]
    return Ragged(rows), bad


def _typed(array: Array, dtype: str, bad: dict[int, str]) -> Array:
    wanted = str if dtype == "string" else bytes
    flat = array.reshape(-1).tolist()
    if set(map(type, flat)) <= {wanted}:
        return array
    per_row = len(flat) // len(array)
    made = np.empty(len(flat), dtype=object)
    for position, value in enumerate(flat):
        if isinstance(value, bytes) and wanted is str:
            try:
                value = value.decode()
            except UnicodeDecodeError as error:
                found = f"{value[error.start]:#04x} at position {error.start}"
                bad.setdefault(position // per_row, _NOT_TEXT.format(found))
                value = ""
        elif isinstance(value, str) and wanted is bytes:
            value = value.encode()
        elif not isinstance(value, wanted):
            raise TypeError(f"holds a {type(value).__name__} among text")
        made[position] = value
    return made.reshape(array.shape)
