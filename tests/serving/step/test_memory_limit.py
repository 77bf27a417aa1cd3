"""A limit that falls at once and comes back slowly."""

from pipeline.serving.step.memory_limit import MemoryLimit


def test_falls_to_what_fitted_and_grows_up_to_the_most():
    limit = MemoryLimit(10)
    limit.grow()
    assert limit.rows == 10
    limit.fall(8)
    for expected in (8, 9, 10, 10):
        assert limit.rows == expected
        limit.grow()


def test_without_a_most_there_is_a_limit_only_after_memory_ran_out():
    limit = MemoryLimit(None)
    limit.grow()
    assert limit.rows is None
    limit.fall(0)
    assert limit.rows == 1
    limit.grow()
    assert limit.rows == 2


def test_more_is_allowed_only_where_memory_does_not_set_the_limit():
    limit = MemoryLimit(10)
    limit.allow(20)
    assert limit.rows == 20
    limit.fall(5)
    limit.allow(40)
    assert limit.rows == 5
    for _ in range(30):
        limit.grow()
    assert limit.rows == 20
