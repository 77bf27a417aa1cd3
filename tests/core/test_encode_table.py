"""Predictions as Arrow tables."""

import numpy as np
import pytest

from pipeline.core.batch import Batch
from pipeline.core.encode_table import prediction_table
from pipeline.core.release import ModelVersion, Release

RELEASE = Release(1, (ModelVersion("m", "models/7", "d" * 64),))


@pytest.mark.parametrize(
    "ids", [(1, -2, 0), (1, 2**63), (-(2**63), 2**64), ("a", "é"), (1, "1"), ()]
)
def test_ids_of_every_kind_become_text(ids):
    batch = Batch(ids, (b"",) * len(ids), {"y": np.zeros(len(ids))}, release=RELEASE)
    assert prediction_table(batch, ["y"])["id"].to_pylist() == list(map(str, ids))
