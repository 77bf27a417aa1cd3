"""Whether rows get by themselves what they got among others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pipeline.backends.reasons import with_type
from pipeline.batch import columns, rounding
from pipeline.batch.columns import Array, Column
from pipeline.batch.rounding import Difference
from pipeline.errors import OutOfMemoryError, ProcessLostError

OutputValues = Mapping[str, Array]
"""Output -> value of one row, without batch axis; or of the rows of one call."""


def first_row(outputs: Mapping[str, Column]) -> dict[str, Array]:
    """The values of the first row."""
    return {name: next(iter(columns.iterate(column))) for name, column in outputs.items()}


def compare_row(
    among: OutputValues, alone: Callable[[], OutputValues], tolerance: float
) -> Difference | None:
    """How a row differs by itself from what it was among others; None where it does not.

    Args:
      among: what it was given.
      alone: computes it by itself; what fails then differs.
      tolerance: see `batch.rounding`.

    Raises:
      OutOfMemoryError, ProcessLostError: the machine failed, which says nothing of the row.
    """
    try:
        again = alone()
    except (OutOfMemoryError, ProcessLostError):
        raise
    except Exception as error:
        output, value = next(iter(among.items()))
        return Difference(output, f"{value.tolist()!r:.60}", with_type(error))
    return rounding.difference(among, again, tolerance)


def compare_rows(
    rows: Iterable[tuple[OutputValues, Callable[[], OutputValues]]], tolerance: float
) -> Difference | None:
    """How the first of some rows differs; where only its labels do, the next one must, too.

    A tie of scores that are not returned flips the label of one row, hardly that of two. So two
    rows are needed to tell of models that return labels only.

    Args:
      rows: see `compare_row`; as many are computed as are needed.
      tolerance: see `batch.rounding`.

    Raises:
      OutOfMemoryError, ProcessLostError: see `compare_row`.
    """
    flipped = False
    for among, alone in rows:
        apart = compare_row(among, alone, tolerance)
        if apart is None or not apart.label or flipped:
            return apart
        flipped = True
    return None
