"""Batches of few records come together, and nothing of them is lost or changed."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import wire
from pipeline.batch.batch import Batch, Reject
from pipeline.batch.columns import Masked, Ragged, iterate, presence_of, values_of
from pipeline.batch.payloads import ArrowRows, JsonRows, Lines
from pipeline.transforms.join_small import JoinSmallBatches

KINDS = (
    tuple,
    Lines.of,
    lambda payloads: JsonRows({"n": len(payload)} for payload in payloads),
    lambda payloads: ArrowRows(pa.record_batch({"b": pa.array(payloads, pa.binary())})),
)
MOST_ROWS = 16

counts = st.tuples(st.integers(0, 12), st.integers(0, 3))
inputs = st.lists(st.tuples(counts, st.sampled_from(KINDS), st.booleans()), max_size=12)


def make_batch(number, rows, dead, kind, masked):
    ids = tuple(f"{number}-{row}" for row in range(rows))
    numbers = np.arange(rows) + 100.0 * number
    return Batch(
        ids,
        kind([f"{one}\n".encode() for one in ids]),
        {
            "x": Masked(numbers, np.arange(rows) % 2 == 0) if masked else numbers,
            # Of one length within each batch, and in all of them if there are few.
            "words": Ragged([np.array([one] * (number % 2 + 1), object) for one in ids]),
        },
        pass_through=tuple(b'{"k":"%s"}' % one.encode() for one in ids),
        rejects=tuple(Reject(b"r", f"{number}-r{i}", "decode", "t", "m") for i in range(dead)),
    )


def joined(batches, **limits):
    """What comes out of one bundle."""
    step = JoinSmallBatches(**({"most_rows": MOST_ROWS} | limits))
    step.start_bundle()
    out = [made for batch in batches for made in step.process(batch)]
    return out + [windowed.value for windowed in step.finish_bundle()]


def rows_of(batches):
    return sorted(
        (
            batch.ids[row],
            batch.payloads[row],
            values_of(batch.columns["x"])[row],
            bool(presence_of(batch.columns["x"])[row]),
            tuple(list(iterate(batch.columns["words"]))[row]),
            batch.pass_through[row],
        )
        for batch in batches
        for row in range(len(batch))
    )


def rejects_of(batches):
    return sorted(reject.record_id for batch in batches for reject in batch.rejects)


@given(inputs)
def test_rows_and_rejects_stay_what_they_are_whatever_the_batches(given_batches):
    batches = [
        make_batch(number, rows, dead, kind, masked)
        for number, ((rows, dead), kind, masked) in enumerate(given_batches)
    ]
    made = joined(batches)
    assert rows_of(made) == rows_of(batches)
    assert rejects_of(made) == rejects_of(batches)
    for batch in made:
        assert len(batch) + len(batch.rejects) <= MOST_ROWS
        assert [*batch.payloads] == [batch.payloads[row] for row in range(len(batch))]
        assert isinstance(batch.columns["words"], Ragged)
        assert rows_of([wire.loads(wire.dumps(batch), Batch)]) == rows_of([batch])
        some = np.arange(0, len(batch), 2)
        left = batch.reject({int(row): ("t", "m") for row in some}, stage="prepare")
        assert sorted(
            [*(r.payload for r in left.rejects if r.stage == "prepare"), *left.payloads]
        ) == sorted(batch.payloads)


def test_batches_are_as_full_as_they_may_be_and_large_ones_do_not_wait():
    small = [make_batch(number, 2, 0, Lines.of, False) for number in range(20)]
    large = make_batch(20, MOST_ROWS // 2, 0, Lines.of, False)
    assert [len(batch) for batch in joined([*small, large])] == [16, 16, 8, 8]
    assert joined([large])[0] is large


def test_bytes_have_a_limit_as_well():
    batches = [make_batch(number, 1, 0, Lines.of, False) for number in range(8)]
    size = batches[1].estimated_bytes
    made = joined(batches, most_bytes=4 * size)
    assert [len(batch) for batch in made] == [4, 4]


def test_a_bundle_that_failed_leaves_nothing_for_the_next():
    step = JoinSmallBatches(MOST_ROWS)
    step.start_bundle()
    assert not list(step.process(make_batch(0, 1, 0, tuple, False)))
    step.start_bundle()
    assert not list(step.finish_bundle())
