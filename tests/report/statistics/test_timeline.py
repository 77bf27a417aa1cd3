"""Slots of time: the same whatever the order, and never too many."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.statistics.timeline import MOST_SLOTS, Slot, Timeline, merged, timeline_at

NOW = 1_795_000_000_000_000
moments = st.lists(
    st.tuples(
        st.integers(NOW, NOW + 10**12),
        st.dictionaries(st.integers(1, 3), st.integers(1, 50), max_size=2),
        st.integers(0, 5),
        st.lists(st.floats(0, 1e6), max_size=3),
    ),
    min_size=1,
    max_size=40,
)


@given(moments, st.randoms())
def test_any_order_and_grouping_gives_the_same(some, random):
    parts = [timeline_at(*one) for one in some]
    whole = merged(parts)
    shuffled = list(parts)
    random.shuffle(shuffled)
    total = Timeline()
    for part in shuffled:
        total = merged([total, part])
    assert total == whole
    assert len(whole.slots) <= MOST_SLOTS
    assert max(whole.slots) - min(whole.slots) < MOST_SLOTS
    assert sum(slot.records for slot in whole.slots.values()) == sum(
        sum(predictions.values()) + dead for _, predictions, dead, _ in some
    )


def test_slot_holds_what_was_finished_in_its_time():
    made = merged(
        [
            timeline_at(NOW, {1: 10}, 2, [5.0]),
            timeline_at(NOW + 20_000_000, {1: 1, 2: 4}, 0, []),
            timeline_at(NOW + 20_001_000, {2: 6}, 1, [7.0, 9.0]),
        ]
    )
    first, second = (made.slots[number] for number in sorted(made.slots))
    assert (first.predictions, first.dead_letters, first.records) == ({1: 10}, 2, 12)
    assert (second.predictions, second.dead_letters) == ({1: 1, 2: 10}, 1)
    assert (second.latencies_ms.least, second.latencies_ms.greatest) == (7.0, 9.0)
    begin = made.start_us(min(made.slots))
    assert begin <= NOW < begin + 1e6 * made.slot_secs


def test_nothing_merged_is_an_empty_timeline():
    assert merged([]) == merged([Timeline()]) == Timeline()
    assert Slot().records == 0
