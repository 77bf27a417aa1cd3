"""Columns of text and of bytes: each is one of the two, in all of its rows.

Not every framework tells them apart: a TensorFlow string is bytes, which mostly happen to be text.
So the ensemble file says which it is, and a row that does not fit its column cannot be used.
"""

from __future__ import annotations

import numpy as np

from pipeline.batch.columns import Array, Column, Ragged

_NOT_TEXT = (
    "holds bytes that are not UTF-8 ({}), expected text; if they are not text, name the output in "
    "`bytes_outputs` of the model"
)
_HALF_PAIR = "holds text with half of a surrogate pair at position {}, which no UTF-8 has"
_NEITHER = "holds {} among {}"


def typed(column: Column, dtype: str) -> tuple[Column, dict[int, str]]:
    """A column of ``str``, or one of ``bytes``, from one that may hold both.

    Args:
      column: an object array of both, or ragged rows of such arrays; an element that is neither,
        such as None, costs its row.
      dtype: "string" or "bytes".

    Returns:
      the column, and row -> why it does not fit; such a row holds empty values instead.
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
        try:
            made[position] = value if isinstance(value, wanted) else _other(value, wanted)
        except ValueError as error:
            bad.setdefault(position // per_row, str(error))
            made[position] = wanted()
    return made.reshape(array.shape)


def _other(value: object, wanted: type) -> object:
    """Bytes as text, or text as bytes.

    Raises:
      ValueError: why it cannot be that.
    """
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, str):
            return value.encode()
    except UnicodeDecodeError as error:
        found = f"{error.object[error.start]:#04x} at position {error.start}"
        raise ValueError(_NOT_TEXT.format(found)) from None
    except UnicodeEncodeError as error:
        raise ValueError(_HALF_PAIR.format(error.start)) from None
    among = "text" if wanted is str else "bytes"
    raise ValueError(_NEITHER.format(type(value).__name__, among))
