"""Statistics of batches merge to those of the run, in any order and grouping."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.release import ModelVersion, Release
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.report.statistics.agreement import Agreement
from pipeline.report.statistics.run import (
    MOST_EVENTS,
    RunStatistics,
    from_batch,
    from_event,
    from_refused,
    merged,
)
from pipeline.report.statistics.served import MOST_RELEASES, Releases, Served
from pipeline.report.statistics.watched_columns import WatchedColumns

NOW = 1_795_000_000_000_000
RELEASES = [Release(n, (ModelVersion("a", f"m/a/{n}", f"d{n}"),)) for n in (1, 2)]
HOMES = {"p": "", "label": "", "word": "", "a_p": "a"}
WATCHED = WatchedColumns(
    HOMES, frozenset({"p", "a_p"}), frozenset(), frozenset(), frozenset({"p", "a_p", "word"})
)


def batch(seed, rows, dead=0, release=RELEASES[0]):
    rng = np.random.default_rng(seed)
    columns = {
        "p": rng.random((rows, 3)).astype(np.float32),
        "a_p": rng.random((rows, 3)),
        "label": rng.integers(0, 3, rows),
        "word": rng.choice(["yes", "no"], rows).astype(object),
    }
    return Batch(
        ids=tuple(range(rows)),
        payloads=(b"x",) * rows,
        columns=columns,
        release=release,
        rejects=tuple(
            Reject(f"{seed}-{i}".encode(), i, "inference", "model_error", "m", "a", release)
            for i in range(dead)
        ),
        origins=tuple(Origin(NOW - 1000 * i, {}) for i in range(rows)),
    )


batches = st.lists(
    st.builds(
        batch,
        seed=st.integers(0, 1000),
        rows=st.integers(0, 6),
        dead=st.integers(0, 3),
        release=st.sampled_from(RELEASES),
    ),
    min_size=1,
    max_size=8,
)


@given(batches, st.randoms())
def test_any_order_and_grouping_is_the_whole(some, random):
    parts = [from_batch(one, WATCHED, NOW + 10**6 * i) for i, one in enumerate(some)]
    whole = merged(parts)
    while len(parts) > 1:
        random.shuffle(parts)
        size = random.randint(2, len(parts))
        parts = [merged(parts[:size]), *parts[size:]]
    assert parts[0] == whole
    assert whole.predictions == sum(len(one) for one in some)
    assert whole.dead_letters == sum(len(one.rejects) for one in some)
    assert whole.batches == len(some)


@given(st.integers(2, 30), st.integers(0, 30))
def test_rows_cut_into_other_batches_have_the_same_columns_and_agreement(rows, cut):
    whole = batch(1, rows)
    cut = min(cut, rows)
    parts = [whole.take(np.arange(a, b)) for a, b in ((0, cut), (cut, rows))]
    found = merged([from_batch(part, WATCHED, NOW) for part in parts])
    expected = from_batch(whole, WATCHED, NOW)
    assert found.columns == expected.columns
    assert found.agreements == expected.agreements
    assert found.timeline == expected.timeline


def test_statistics_say_what_the_batch_holds():
    one = batch(3, 50, dead=2)
    found = from_batch(one, WATCHED, NOW)
    assert (found.predictions, found.dead_letters, found.records, found.batches) == (50, 2, 52, 1)
    same = int((one.columns["p"].argmax(1) == one.columns["a_p"].argmax(1)).sum())
    assert found.agreements == {("a_p", "p"): Agreement(50, same)}
    words = one.columns["word"].tolist()
    assert found.columns["word"].labels.counts == {w: words.count(w) for w in set(words)}
    labels, counts = np.unique(one.columns["label"], return_counts=True)
    assert found.columns["label"].values.borders()[0].tolist() == labels.tolist()
    assert found.columns["label"].values.counts.tolist() == counts.tolist()
    assert found.columns["p"].values.count == 150
    assert found.columns["p"].highest.count == 50
    assert found.releases == Releases({RELEASES[0]: Served(50, 2, NOW, NOW)})
    (slot,) = found.timeline.slots.values()
    assert (slot.latencies_ms.least, slot.latencies_ms.greatest) == (0.0, 49.0)


def test_dead_letters_that_no_release_served_are_not_counted_with_one():
    rejected = Reject(b"x", None, "decode", "not_json", "m")
    found = from_batch(Batch((), (), {}, release=RELEASES[0], rejects=(rejected,)), WATCHED, NOW)
    assert (found.dead_letters, found.releases) == (1, Releases())


def test_refused_predictions_are_dead_letters_of_their_release():
    served, other = RELEASES
    parts = [
        *(from_batch(batch(1, 5, dead=1, release=release), WATCHED, NOW) for release in RELEASES),
        from_refused(Reject(b"x", 0, "write", "not_inserted", "m"), 1, NOW),
    ]
    for found in (merged(parts), merged([merged(parts[1:]), parts[0]])):
        assert (found.predictions, found.dead_letters, found.records) == (9, 3, 12)
        assert found.releases.settled[served] == Served(4, 2, NOW, NOW)
        assert found.releases.settled[other] == Served(5, 1, NOW, NOW)
        assert sum(some.count for some in found.reasons.values()) == 3
        (slot,) = found.timeline.slots.values()
        assert (slot.predictions, slot.dead_letters) == ({1: 4, 2: 5}, 3)


def test_nothing_merged_is_a_run_without_records():
    assert merged([]) == RunStatistics()
    assert (RunStatistics().records, RunStatistics().secs) == (0, 0.0)


def test_run_lasts_from_the_first_begin_to_the_last_end():
    found = merged([RunStatistics(began_us=2_000_000, ended_us=5_000_000)] * 2)
    assert found.secs == pytest.approx(3.0)


def test_events_are_kept_in_order_of_time_and_only_the_last():
    candidate = Candidate("c", "watch m/*", 1, {"a": "m/a/9"})
    events = [
        from_event(ReleaseEvent("rejected", datetime.fromtimestamp(i, UTC), candidate, None, "no"))
        for i in range(MOST_EVENTS + 5)
    ]
    found = merged([merged(events[50:]), merged(events[:50])]).events
    assert [event.time_us for event in found] == [10**6 * i for i in range(5, MOST_EVENTS + 5)]
    assert (found[0].outcome, found[0].models, found[0].reason) == ("rejected", "a m/a/9", "no")


@given(
    st.lists(st.tuples(st.integers(1, 3 * MOST_RELEASES), st.booleans()), max_size=600),
    st.randoms(),
)
def test_only_the_last_releases_are_known_each_whatever_the_order(of_generations, random):
    parts = []
    for generation, refuses in of_generations:
        release = Release(generation, (ModelVersion("a", "m/a/1", "d"),))
        parts.append(from_batch(batch(1, 2, dead=1, release=release), WATCHED, NOW + generation))
        if refuses:
            parts.append(from_refused(Reject(b"x", 0, "write", "e", "m"), generation, NOW))
    whole = merged(parts)
    known = sorted({generation for generation, _ in of_generations})[-MOST_RELEASES:]
    found = whole.releases
    assert sorted(release.generation for release in found.each) == known
    everything = [*found.settled.values(), *([found.earlier] if found.earlier else [])]
    assert sum(did.predictions for did in everything) == whole.predictions
    assert sum(did.dead_letters for did in everything) == whole.dead_letters
    shown = {g for slot in whole.timeline.slots.values() for g in slot.predictions}
    assert shown <= {0, *known}
    while len(parts) > 1:
        random.shuffle(parts)
        parts = [merged(parts[:50]), *parts[50:]]
    if parts:
        assert parts[0].releases == found
        assert parts[0].timeline == whole.timeline
