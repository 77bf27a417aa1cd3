"""Outputs of the models that benchmarks have."""

from pipeline.batch.columns import Array, BatchColumn, Masked, Ragged


def one_array(column: BatchColumn) -> Array:
    """An output whose rows have one shape, as here all have."""
    assert not isinstance(column, Ragged | Masked)
    return column
