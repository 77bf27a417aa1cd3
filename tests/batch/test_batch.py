"""Batches keep every row, and releases are named by what is in them."""

import numpy as np
import pytest

from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged
from pipeline.batch.release import ModelVersion, Release


def test_rejected_rows_leave_every_column_and_stay_in_the_batch():
    batch = Batch(
        ids=("a", "b", "c"),
        payloads=(b"1", b"2", b"3"),
        columns={
            "x": np.array([1, 2, 3]),
            "t": Ragged([np.array([1]), np.array([]), np.array([2])]),
        },
        pass_through=(b"{}", b"[]", b"{}"),
    )
    kept = batch.reject({1: ("bad", "why")}, stage="inference", model="m")
    assert (kept.ids, kept.payloads, kept.pass_through) == (
        ("a", "c"),
        (b"1", b"3"),
        (b"{}", b"{}"),
    )
    assert kept.columns["x"].tolist() == [1, 3]
    assert kept.columns["t"].tolist() == [[1], [2]]
    (reject,) = kept.rejects
    assert (reject.record_id, reject.payload, reject.model, reject.error_message) == (
        "b",
        b"2",
        "m",
        "why",
    )
    assert len(batch) == 3, "the batch itself is unchanged"
    again = kept.reject({0: ("bad", "x"), 1: ("bad", "x")}, stage="combine")
    assert len(again) == 0
    assert len(again.rejects) == 3


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("gs://b/models/forest/1", "1"),
        ("models/mlp/12/model.onnx", "12"),
        ("models/clf/v3", "v3"),
        ("/m/clf/2026.11/", "2026.11"),
        ("gs://b/clf-v3.joblib", "clf-v3.joblib"),
        ("gs://b/7/deep/er/model.pt", "model.pt"),
    ],
)
def test_version_label_is_the_innermost_numbered_part(uri, label):
    assert ModelVersion("m", uri, "d").label == label


def test_release_id_depends_on_the_versions_and_not_on_their_order_or_the_generation():
    a, b = ModelVersion("a", "u/1", "d1"), ModelVersion("b", "u/2", "d2")
    assert Release(1, (a, b)).release_id == Release(9, (b, a)).release_id
    assert Release(1, (ModelVersion("a", "/not UTF-8 \udcff", "d"),)).release_id
    assert (
        Release(1, (a, b)).release_id != Release(1, (a, ModelVersion("b", "u/2", "d3"))).release_id
    )
    assert Release(1, (b, a)).version_of("b") is b
