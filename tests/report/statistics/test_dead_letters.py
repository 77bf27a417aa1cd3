"""Dead letters by reason: counts are exact, examples few, short and the same in any order."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.batch import Reject
from pipeline.report.statistics.dead_letters import (
    LONGEST_PAYLOAD,
    LONGEST_TEXT,
    MOST_EXAMPLES,
    Reason,
    by_reason,
    merged,
)


def reject(payload=b"x", record_id="r", error_type="wrong_shape", message="m", model=None):
    return Reject(payload, record_id, "decode", error_type, message, model)


rejects = st.lists(
    st.builds(
        reject,
        payload=st.binary(max_size=6),
        record_id=st.none() | st.integers(0, 3),
        error_type=st.sampled_from(["a", "b"]),
        model=st.none() | st.just("m"),
    ),
    max_size=12,
)


@given(st.lists(rejects, min_size=1, max_size=5), st.randoms())
def test_any_split_in_any_order_is_the_whole(parts, random):
    whole = by_reason([one for part in parts for one in part])
    random.shuffle(parts)
    assert merged(by_reason(part) for part in parts) == whole
    assert all(len(some.examples) <= MOST_EXAMPLES for some in whole.values())
    assert sum(some.count for some in whole.values()) == sum(map(len, parts))


def test_reasons_are_told_apart_by_stage_type_and_model():
    found = by_reason([reject(model="a"), reject(model="b"), reject(model="b"), reject()])
    assert {reason: some.count for reason, some in found.items()} == {
        Reason("decode", "wrong_shape", "a"): 1,
        Reason("decode", "wrong_shape", "b"): 2,
        Reason("decode", "wrong_shape"): 1,
    }


def test_examples_are_cut_and_say_how_long_they_were():
    payload = b"\xff" + b"p" * 1_000_000
    (some,) = by_reason([reject(payload, "i" * 1000, message="m" * 1000)]).values()
    (example,) = some.examples
    assert (len(example.payload), example.payload_bytes) == (LONGEST_PAYLOAD, 1_000_001)
    assert example.payload.startswith("\\xffppp")
    assert len(example.record_id) == len(example.message) == LONGEST_TEXT


def test_repeated_record_is_one_example():
    (some,) = by_reason([reject(), reject(), reject()]).values()
    assert (some.count, len(some.examples)) == (3, 1)
