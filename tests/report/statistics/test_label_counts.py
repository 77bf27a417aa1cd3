"""Counts of texts: exact for few different ones, bounded in size and error for many."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.statistics import label_counts
from pipeline.report.statistics.label_counts import LONGEST, MOST_LABELS, count_labels, merged

labels = st.lists(st.sampled_from(["cat", "dog", "", "<b>", "ü"]), max_size=40)


@given(st.lists(labels, min_size=1, max_size=6), st.randoms())
def test_any_split_in_any_order_is_the_whole(parts, random):
    whole = count_labels([label for part in parts for label in part])
    shuffled = [count_labels(part) for part in parts]
    random.shuffle(shuffled)
    assert merged(shuffled) == whole
    one_by_one = shuffled[0]
    for part in shuffled[1:]:
        one_by_one = merged([one_by_one, part])
    assert one_by_one == whole


def test_too_many_different_texts_leave_the_frequent_ones_within_the_known_error():
    rng = np.random.default_rng(1)
    texts = [f"t{int(number)}" for number in rng.zipf(1.3, 40_000)]
    found = merged([count_labels(texts[i : i + 1000]) for i in range(0, len(texts), 1000)])
    true = Counter(texts)
    assert len(true) > MOST_LABELS >= len(found.counts)
    assert found.total == len(texts)
    assert 0 < found.missed <= len(texts) / (MOST_LABELS + 1)
    for text, count in true.items():
        assert count - found.missed <= found.counts.get(text, 0) <= count
    assert [t for t, _ in found.most_common()[:5]] == [t for t, _ in true.most_common(5)]


def test_long_texts_are_cut():
    found = count_labels(["x" * 5000, "x" * 6000, "x" * LONGEST])
    assert found.counts == {"x" * (LONGEST - 1) + "…": 2, "x" * LONGEST: 1}


def test_most_common_orders_by_count_then_text():
    found = label_counts.count_labels(["b", "a", "c", "c"])
    assert found.most_common() == [("c", 2), ("a", 1), ("b", 1)]
