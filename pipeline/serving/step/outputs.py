"""Whether what a model returns are rows: one value for each row of the call, of one form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.backends.base import CUT_TEXTS
from pipeline.batch.columns import Column, Ragged
from pipeline.batch.sparse import Sparse
from pipeline.batch.tensors import dtype_name
from pipeline.errors import ModelFaultError

_WAY_OUT = (
    "or a list with one tensor for each row; what a graph gives for the whole call, as non-max "
    "suppression does, cannot be a column: name the outputs that it is made from, or write a model "
    "of `framework: python` around it"
)


def checked(
    wanted: Collection[str],
    outputs: Mapping[str, Column],
    rows: int,
    dense: Collection[str] = (),
) -> dict[str, Column]:
    """The outputs that the ensemble file names, and which rows had a text cut, if it is told.

    Args:
      wanted: their names.
      outputs: of one call.
      rows: of that call.
      dense: those that become arrays, where they are sparse.

    Raises:
      ModelFaultError: one has another number of rows, or rows of different rank or dtype, or rows
        that are too long for an array.
      TypeError: one holds values that no dtype name covers.
    """
    for tensor in wanted:
        column = outputs[tensor]
        if isinstance(column, Ragged):
            found, fits = f"is a list of {len(column)}", len(column) == rows
        else:
            found = f"has shape {list(column.shape)}"
            fits = column.ndim > 0 and len(column) == rows
        if not fits:
            raise ModelFaultError(
                f"output '{tensor}' {found} for {rows} rows; expected the rows as first axis, "
                f"{_WAY_OUT}"
            )
        if isinstance(column, Ragged):
            if len({(row.ndim, row.dtype) for row in column.rows}) > 1:
                raise ModelFaultError(
                    f"output '{tensor}' has rows of different rank or dtype, expected rows "
                    "that differ in length only"
                )
            _check_dtype(tensor, next((row for row in column.rows if row.size), column.rows[0]))
        else:
            _check_dtype(tensor, column)
    told = [CUT_TEXTS] if CUT_TEXTS in outputs else []
    named = ((tensor, outputs[tensor]) for tensor in (*wanted, *told))
    return {
        tensor: column.dense() if isinstance(column, Sparse) and tensor in dense else column
        for tensor, column in named
    }


def _check_dtype(tensor: str, values: Any) -> None:
    try:
        dtype_name(values)
    except TypeError as error:
        raise TypeError(f"output '{tensor}' {error}") from None
