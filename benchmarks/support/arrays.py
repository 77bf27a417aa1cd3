"""Outputs of the models that benchmarks have."""

from pipeline.batch.columns import Array, Column, Ragged


def one_array(column: Column) -> Array:
    """An output whose rows have one shape, as here all have."""
    assert not isinstance(column, Ragged)
    return column
