"""Sparse rows are the rows of the array that they stand for, wherever they go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch import columns
from pipeline.batch.batch import Batch
from pipeline.batch.columns import as_column
from pipeline.batch.sparse import MAX_DENSE_ROW_BYTES, Sparse
from pipeline.batch.wire import dumps, loads
from pipeline.errors import ModelFaultError

matrices = st.sampled_from(["float64", "float32", "int64"]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        st.tuples(st.integers(1, 6), st.integers(1, 5)),
        elements=st.integers(-2, 2).map(lambda n: n * (abs(n) > 1)),
    )
)


def sparse(matrix):
    rows, places = np.nonzero(matrix)
    ends = np.searchsorted(rows, np.arange(len(matrix) + 1))
    return Sparse(matrix[rows, places], places.astype(np.int32), ends, matrix.shape[1])


def same(found, expected):
    assert (found.shape, found.dtype, len(found)) == (expected.shape, expected.dtype, len(expected))
    np.testing.assert_array_equal(np.asarray(found), expected)


@given(matrices, st.data())
def test_rows_are_taken_cut_and_joined_as_those_of_an_array(matrix, data):
    column = as_column(sparse(matrix))
    rows = np.array(data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=9)), dtype=np.intp)
    same(columns.take(column, rows), matrix[rows])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(matrix))] * 2)))
    same(columns.part(column, start, stop), matrix[start:stop])
    joined = columns.concatenate([column, columns.take(column, rows), column])
    assert isinstance(joined, Sparse)
    same(joined, np.concatenate([matrix, matrix[rows], matrix]))
    np.testing.assert_array_equal(list(columns.iterate(column)), list(matrix))


@given(matrices)
def test_batch_with_sparse_rows_crosses_processes(matrix):
    rows = len(matrix)
    batch = Batch(
        ids=tuple(range(rows)),
        payloads=(b"{}",) * rows,
        columns={"words": as_column(sparse(matrix)), "x": matrix},
    )
    read = loads(dumps(batch), Batch)
    assert isinstance(read.columns["words"], Sparse)
    same(read.columns["words"], matrix)
    left = read.reject({0: ("bad", "it is")}, stage="prepare")
    same(left.columns["words"], matrix[1:])


def test_sparse_and_dense_parts_are_joined_as_arrays():
    matrix = np.eye(3)
    same(columns.concatenate([as_column(sparse(matrix)), matrix]), np.concatenate([matrix, matrix]))


def test_long_rows_become_no_array_but_are_taken_and_looked_at():
    width = MAX_DENSE_ROW_BYTES // 8 + 1
    long = Sparse(np.ones(2), np.array([0, width - 1]), np.array([0, 1, 2]), width)
    with pytest.raises(ModelFaultError, match="rows of 131,073 values that are mostly zeros"):
        np.asarray(long)
    assert len(columns.take(as_column(long), np.array([1, 1]))) == 2
    assert next(iter(columns.iterate(as_column(long)))).sum() == 1
    same(Sparse(np.ones(1), np.array([0]), np.array([0, 1]), width - 1), np.eye(1, width - 1))
