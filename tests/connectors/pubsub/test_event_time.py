"""Event times of messages that come late, doubled and out of order; the watermark beside them.

Pub/Sub is played, since the emulator decides itself when a message was published.
"""

import itertools
import queue
import time

from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.utils.timestamp import Timestamp
from google.pubsub_v1.types import PullResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.connectors.pubsub.poll import Poll
from pipeline.runner.endless import ProgressTracker, SourceProgress
from tests.support.bundles import Bundle
from tests.support.waiting import wait_until

_numbers = itertools.count()
LAG_US = 1_000_000
NOW_US = Timestamp.now().micros
TIMES = st.integers(NOW_US - 10**12, NOW_US)
"""Up to 11 days late."""


def response(deliveries):
    """The bytes of an answer: (message id, publish time) each."""
    return PullResponse.serialize(
        PullResponse(
            received_messages=[
                {
                    "ack_id": f"lease {next(_numbers)}",
                    "message": {
                        "message_id": name,
                        "data": name.encode(),
                        "publish_time": {
                            "seconds": time_us // 10**6,
                            "nanos": time_us % 10**6 * 1000,
                        },
                    },
                }
                for name, time_us in deliveries
            ]
        )
    )


def is_never_stopped():
    return False


class Source:
    """The source, whose bundles run when a test says so; each is committed at its end or not."""

    def __init__(self, block_rows):
        self._poll = Poll(block_rows, stopped=is_never_stopped)
        self._poll.setup()
        self._progress = SourceProgress()
        self.watermark = ManualWatermarkEstimator(None)
        self.blocks = []

    def bundle(self, commits=False):
        bundle, tracker = Bundle(), ProgressTracker(self._progress)
        tracker.defer_remainder = lambda _: None
        name = "projects/p/subscriptions/s"
        self.blocks += self._poll.process(name, bundle, tracker, self.watermark)
        self._progress = tracker.current_restriction()
        if commits:
            bundle.finalize()

    def run_until(self, messages, commits=False):
        wait_until(lambda: self.bundle(commits) or len(self.messages()) >= messages)

    def messages(self):
        """(id, event time) in the order in which they came."""
        return [
            (payload.decode(), origin.event_time_us)
            for block in self.blocks
            for payload, origin in zip(block.value.payloads, block.value.origins, strict=True)
        ]

    def close(self):
        self._poll.teardown()


def play(service):
    """What `put` there is delivered by the next pulls."""
    answers = queue.Queue()

    def pull(request):
        try:
            return answers.get(timeout=0.02)
        except queue.Empty:
            return response([])

    service(Pull=pull, Acknowledge=b"", ModifyAckDeadline=b"")
    return answers


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    times=st.lists(TIMES, min_size=1, max_size=20),
    again=st.lists(st.integers(0, 19), max_size=10),
    order=st.randoms(),
)
def test_late_doubled_and_disordered_messages_come_once_each_with_their_own_time(
    service, times, again, order
):
    sent = [(f"m{number}", time_us) for number, time_us in enumerate(times)]
    deliveries = sent + [sent[number % len(sent)] for number in again]
    order.shuffle(deliveries)
    answers = play(service)
    source = Source(block_rows=3)
    try:
        for first in range(0, len(deliveries), 4):
            answers.put(response(deliveries[first : first + 4]))
        source.run_until(len(sent))
        wait_until(lambda: source.bundle() or answers.empty())
        assert sorted(source.messages()) == sorted(sent)
        for block in source.blocks:
            earliest = min(origin.event_time_us for origin in block.value.origins)
            assert block.timestamp.micros == earliest
    finally:
        source.close()


def test_message_that_pubsub_delivers_again_after_it_was_acknowledged_counts_again(service):
    """At least once is what Pub/Sub promises: until that is settled, a copy is not new."""
    answers = play(service)
    source = Source(block_rows=3)

    def came_again():
        answers.put(response([("m", NOW_US)]))
        source.bundle(commits=True)
        return len(source.messages()) > 1

    try:
        wait_until(came_again)
        assert set(source.messages()) == {("m", NOW_US)}
    finally:
        source.close()


def test_idle_source_does_not_hold_the_watermark_and_a_late_message_does_not_turn_it_back(service):
    answers = play(service)
    source = Source(block_rows=3)
    try:
        for late_us in (0, 3600 * 10**6):
            before_us = Timestamp.now().micros
            source.bundle()
            assert source.watermark.current_watermark().micros >= before_us - LAG_US
            answers.put(response([(f"{late_us} late", before_us - late_us)]))
            source.run_until(len(source.blocks) + 1, commits=True)
            assert source.watermark.current_watermark().micros >= before_us - LAG_US
    finally:
        source.close()


def test_what_waits_to_be_taken_holds_the_watermark(service):
    """So it is on time, however long the stream is held up before it."""
    answers = play(service)
    source = Source(block_rows=1)
    old_us = NOW_US - 3600 * 10**6
    try:
        answers.put(response([(f"m{number}", old_us + number) for number in range(5000)]))
        ends_at = time.monotonic() + 30
        while len(source.blocks) < 5000 and time.monotonic() < ends_at:
            before, taken = source.watermark.current_watermark(), len(source.blocks)
            source.bundle()
            reached = source.watermark.current_watermark()
            if taken < len(source.blocks) < 5000:
                assert reached in (before, Timestamp(micros=old_us + len(source.blocks)))
        assert len(source.messages()) == 5000
        source.bundle()
        assert source.watermark.current_watermark().micros > old_us + 5000
    finally:
        source.close()
