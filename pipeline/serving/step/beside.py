"""What a model gets besides its columns, and says besides its outputs.

A model that draws gets the ids of records (`ModelEntry.keyed`): its chance is theirs. One that
cuts texts says for each row whether it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.backends.base import CUT_TEXTS
from pipeline.batch import columns
from pipeline.batch.batch import RecordId
from pipeline.batch.columns import BatchColumn, Column
from pipeline.spec.entries.entry import RECORD_KEY
from pipeline.spec.model import ModelSpec


def with_record_keys(
    spec: ModelSpec, available: Mapping[str, BatchColumn], ids: Sequence[RecordId] | None = None
) -> Mapping[str, BatchColumn]:
    """The columns, and the ids of their records where the model gets them.

    Args:
      spec: its entry.
      available: columns, at least one.
      ids: of their rows; None for rows that are no records, which all have one key. What is
        there already stays then.
    """
    if not spec.keyed:
        return available
    count = len(next(iter(available.values())))
    named = ["" if one is None else str(one) for one in ids or [""] * count]
    keys = {spec.batched_inputs[RECORD_KEY].column: np.array(named, dtype=object)}
    return {**keys, **available} if ids is None else {**available, **keys}


def count_cut(results: Sequence[Mapping[str, Column]]) -> int:
    """The rows of some calls of which the model cut a text."""
    flags = [result[CUT_TEXTS] for result in results if CUT_TEXTS in result]
    return sum(bool(cut) for column in flags for cut in columns.iterate(column))
