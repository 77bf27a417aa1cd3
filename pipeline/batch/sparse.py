"""Rows that are mostly zeros, as a vectoriser of text makes them, held by their other values.

A :class:`Sparse` stands in for an array of shape ``(rows, width)`` between models that read such
rows as they are: it has a shape and a dtype, and is indexed, taken and joined by rows. numpy makes
an array of it where it needs one, so that what does not know it computes the same, only slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import ModelFaultError

_Array = np.ndarray[Any, Any]

MAX_DENSE_ROW_BYTES = 1 << 20
"""A longer row becomes no array: a batch has a thousand of them."""


@dataclass(frozen=True)
class Sparse:
    """A matrix in compressed rows (CSR).

    Attributes:
      values: those that are not zero, row by row.
      places: the column of each.
      ends: where the values of each row begin; one more at the end of the last.
      width: how many columns there are.
    """

    values: _Array
    places: _Array
    ends: _Array
    width: int

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, width)."""
        return len(self), self.width

    @property
    def ndim(self) -> int:
        """2, as of a matrix."""
        return 2

    @property
    def size(self) -> int:
        """How many values there are, zeros too."""
        return len(self) * self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        dtype: np.dtype[Any] = self.values.dtype
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return self.values.nbytes + self.places.nbytes + self.ends.nbytes

    def __getitem__(self, rows: slice | _Array) -> Sparse:
        """Some rows, in that order."""
        rows = np.arange(len(self))[rows]
        begins, counts = self.ends[:-1][rows], np.diff(self.ends)[rows]
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        at = np.arange(ends[-1]) + np.repeat(begins - ends[:-1], counts)
        return Sparse(self.values[at], self.places[at], ends, self.width)

    def __iter__(self) -> Iterator[_Array]:
        """The rows, each as an array."""
        for row in range(len(self)):
            yield self[row : row + 1].filled()[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> _Array:
        """See `dense`."""
        made = self.dense()
        return made if dtype is None else made.astype(dtype, copy=False)

    def dense(self) -> _Array:
        """All values as an array.

        Raises:
          ModelFaultError: a row of it would be longer than `MAX_DENSE_ROW_BYTES`.
        """
        row_bytes = self.width * self.dtype.itemsize
        if row_bytes > MAX_DENSE_ROW_BYTES:
            raise ModelFaultError(
                f"rows of {self.width:,} values that are mostly zeros would be {row_bytes:,} bytes "
                f"each as an array, expected at most {MAX_DENSE_ROW_BYTES:,}: only estimators of "
                "scikit-learn that take sparse rows can read them, and no step or output beside "
                "these"
            )
        return self.filled()

    def filled(self) -> _Array:
        """All values as an array, however long its rows are."""
        made = np.zeros(self.shape, self.dtype)
        made[np.repeat(np.arange(len(self)), np.diff(self.ends)), self.places] = self.values
        return made


def stack(parts: Sequence[Sparse]) -> Sparse:
    """The rows of all parts, one after the other. They agree in width."""
    counts = np.concatenate([np.diff(part.ends) for part in parts])
    return Sparse(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.places for part in parts]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        parts[0].width,
    )
