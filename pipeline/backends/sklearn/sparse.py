"""Sparse matrices of scipy as columns of a batch, and back."""

from __future__ import annotations

from typing import Any

from pipeline.batch.columns import Array, as_column
from pipeline.batch.sparse import Sparse


def to_column(matrix: Any) -> Array:
    """The rows of a sparse matrix of any form, as they travel; copied."""
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()
    return as_column(Sparse(rows.data, rows.indices, rows.indptr, rows.shape[1]))


def from_column(column: Any) -> Any:
    """A matrix of scipy, which the estimator may write to."""
    from scipy.sparse import csr_matrix

    assert isinstance(column, Sparse)
    return csr_matrix((column.values, column.places, column.ends), column.shape, copy=True)
