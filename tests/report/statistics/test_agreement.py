"""Which columns are compared, and how rows are counted."""

import numpy as np

from pipeline.batch.columns import Ragged
from pipeline.report.statistics.agreement import (
    Agreement,
    as_positions,
    compare,
    merged,
    opinions,
)

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], np.float32)
LOGITS = np.array([[1.0, 3.0, -2.0], [0.0, 4.0, 1.0]], np.float32)


def compared(scores=(), **columns):
    found = {name: opinions(column, scores=name in scores) for name, column in columns.items()}
    return compare({name: some for name, some in found.items() if some is not None})


def test_vectors_of_scores_agree_where_the_highest_is_the_same():
    found = compared(scores=("a", "b"), a=SCORES, b=LOGITS)
    assert found == {("a", "b"): Agreement(rows=2, equal=1)}


def test_vectors_not_known_to_be_scores_count_only_as_probabilities():
    assert compared(a=SCORES, b=SCORES[:, ::-1]) == {("a", "b"): Agreement(2, 1)}
    assert compared(a=SCORES, b=LOGITS) == {}


def test_positions_are_compared_with_scores_of_that_many_choices():
    labels = as_positions(np.array([1, 2]), SCORES)
    found = compare({"label": labels, "a": opinions(SCORES, scores=True)})
    assert found == {("a", "label"): Agreement(2, 1)}
    assert as_positions(np.array([1, 2]), Ragged([np.arange(2), np.arange(3)])) is None


def test_vectors_of_different_lengths_are_not_compared():
    assert compared(scores=("a", "b"), a=SCORES, b=SCORES[:, :2]) == {}


def test_labels_are_compared_with_labels_of_their_kind():
    found = compared(
        ints=np.array([1, 2]),
        small=np.array([[1], [3]], np.uint8),
        texts=np.array(["1", "2"], object),
        more=np.array(["1", "x"], object),
        flags=np.array([True, False]),
    )
    assert found == {("ints", "small"): Agreement(2, 1), ("more", "texts"): Agreement(2, 1)}


def test_single_floats_and_ragged_columns_say_nothing_comparable():
    assert opinions(np.array([0.5, 0.5]), scores=True) is None
    assert opinions(Ragged([np.array([1]), np.array([1, 2])]), scores=True) is None


def test_merged_adds_rows():
    parts = [
        {("a", "b"): Agreement(3, 1)},
        {("a", "b"): Agreement(2, 2), ("a", "c"): Agreement(1, 0)},
    ]
    assert merged(parts) == {("a", "b"): Agreement(5, 3), ("a", "c"): Agreement(1, 0)}
