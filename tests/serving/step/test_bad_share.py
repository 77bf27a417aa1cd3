"""Groups follow the gaps between bad rows, grow over good ones, and end with the credit."""

from pipeline.serving.step.bad_share import BadShare


def learned(gap, bad=40):
    """A share with one bad row in `gap`."""
    share = BadShare()
    for _ in range(bad):
        share.note_good(gap - 1)
        share.note_bad(gap)
    return share


def test_groups_are_as_large_as_may_be_until_a_row_is_bad():
    share = BadShare()
    share.note_good(10**6)
    assert share.group_rows(1024) == 1024


def test_rarer_bad_rows_make_larger_groups():
    assert [learned(gap).group_rows(1024) for gap in (1, 10, 100)] == [1, 7, 70]


def test_groups_grow_over_good_rows_after_a_cluster_of_bad_ones():
    share = learned(1)
    share.note_good(100)
    assert share.group_rows(1024) == 50


def test_without_credit_rows_are_tried_one_at_a_time():
    share = learned(100)
    for _ in range(100):
        share.note_call()
    assert share.group_rows(1024) == 1
    assert not share.affords_call
