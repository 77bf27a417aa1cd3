"""Whether a model takes the missing values that its columns may have; only trying tells.

What an estimator says of itself does not: a scikit-learn pipeline takes them where it has an
imputer for that column, and fails where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.backends.base import Servable
from pipeline.backends.reasons import with_type
from pipeline.batch import columns
from pipeline.batch.columns import BatchColumn, Masked, Ragged
from pipeline.batch.names import some
from pipeline.errors import ProcessLostError
from pipeline.serving.rehearsal.company import Company, LoneRowError
from pipeline.serving.step.model_step import ModelStep, rounding_of
from pipeline.spec.column_types import Gaps
from pipeline.spec.graph import Graph
from pipeline.spec.model import ModelSpec


def missing_values_problem(
    model: ModelSpec,
    servable: Servable,
    graph: Graph,
    available: Mapping[str, BatchColumn],
    most: int,
) -> str | None:
    """Why a model cannot compute rows that lack values; None where it can, or gets none.

    Args:
      model: its entry.
      servable: the model.
      graph: the ensemble; says which columns may lack values.
      available: rows that the model computes, of the columns that it reads.
      most: most rows of a call.

    Raises:
      ProcessLostError: see `serving.step.model_step`.
    """
    gapped = [column for column in model.columns_read() if graph.gaps[column]]
    if not gapped:
        return None
    step = ModelStep(model)
    company = Company(step, servable, _rows(available, gapped, graph), most)
    try:
        company.together()
        company.alone()
        return company.problem(rounding_of(model, servable)) if model.independent_rows else None
    except ProcessLostError:
        raise
    except LoneRowError as error:
        return str(error)
    except Exception as error:
        return _told(model, servable, graph, available, gapped) or (
            f"fails on a row in which nothing but {some(gapped)} is missing: {with_type(error)}"
        )


def _rows(
    available: Mapping[str, BatchColumn], gapped: Sequence[str], graph: Graph
) -> dict[str, BatchColumn]:
    """Row i lacks the i-th of the columns, the last row all of them."""
    first = np.zeros(len(gapped) + 1, dtype=np.intp)
    rows = {name: columns.take(column, first) for name, column in available.items()}
    for i, name in enumerate(gapped):
        rows[name] = _without(rows[name], [i, len(gapped)], inside=graph.gaps[name] is Gaps.INSIDE)
    return rows


def _without(column: BatchColumn, rows: Sequence[int], *, inside: bool) -> BatchColumn:
    """The column without the values of some rows."""
    values = columns.values_of(column)
    if isinstance(values, Ragged):
        return column
    if inside:
        values = values.copy()
        values[rows] = np.nan
    if not isinstance(column, Masked):
        return values
    present = column.present.copy()
    present[rows] = inside  # a vector that is there, but empty, is the harder case
    return Masked(values, present)


def _told(
    model: ModelSpec,
    servable: Servable,
    graph: Graph,
    available: Mapping[str, BatchColumn],
    gapped: Sequence[str],
) -> str | None:
    """The first column that a row cannot lack."""
    for column in gapped:
        row = _rows(available, [column], graph)
        try:
            ModelStep(model).compute(row, np.arange(1), servable)
        except ProcessLostError:
            raise
        except Exception as error:
            tensor = next(t for t, b in model.column_inputs.items() if b.column == column)
            return (
                f"input '{tensor}' reads column '{column}' of {graph.producers[column]}, which may "
                f"lack values, and fails on a row without one: {with_type(error)}; a prepare step "
                "`op: fill` puts a value there"
            )
    return None
