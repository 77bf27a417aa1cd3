"""Messages of Pub/Sub in a stream: each arrives once, and is acknowledged when all is done."""

import threading
import time

import apache_beam as beam
import pytest

from pipeline.batch.message import Message
from pipeline.connectors.pubsub import leases as pubsub_leases
from pipeline.connectors.pubsub import reader as pubsub_reader
from pipeline.connectors.pubsub.leases import Leases
from pipeline.connectors.pubsub.reader import Reader
from pipeline.connectors.pubsub.sink import PublishMessages
from pipeline.errors import ServiceError
from pipeline.runner.stopping import stop_all
from tests.connectors.pubsub.streams import Stream, numbered
from tests.support.waiting import wait_until


def test_every_message_arrives_once_and_is_acknowledged(pubsub, topic, subscription):
    pubsub.publish_all(topic, numbered(1500))
    with Stream({"subscription": subscription, "block_rows": 100}) as stream:
        stream.wait_for(1500)
        pubsub.publish_all(topic, numbered(500, start=1500))
        stream.wait_for(2000)
    assert stream.payloads() == dict.fromkeys(numbered(2000), 1)
    assert max(len(block.payloads) for block in stream.blocks) == 100
    assert pubsub.unacknowledged(subscription) == 0


def test_a_message_keeps_its_attributes_publish_time_and_ordering_key(pubsub, topic):
    subscription = pubsub.new_subscription(topic, enable_message_ordering=True)
    with Stream({"subscription": subscription}) as stream:
        before = time.time_ns() // 1000
        pubsub.publish(topic, b"a", {"kind": "x", "empty": ""}, ordering_key="k1")
        pubsub.publish(topic, b"b")
        stream.wait_for(2)
        after = time.time_ns() // 1000
    origins = {
        payload: origin
        for block in stream.blocks
        for payload, origin in zip(block.payloads, block.origins, strict=True)
    }
    assert {block.source for block in stream.blocks} == {subscription}
    assert (origins[b"a"].attributes, origins[b"a"].ordering_key) == (
        {"kind": "x", "empty": ""},
        "k1",
    )
    assert (origins[b"b"].attributes, origins[b"b"].ordering_key) == ({}, "")
    for origin in origins.values():  # the emulator tells milliseconds
        assert before - 1000 <= origin.event_time_us <= after


def test_messages_of_a_bundle_that_fails_come_again_at_once(pubsub, topic, subscription):
    def fail(block):
        raise ValueError("told to fail")

    pubsub.publish_all(topic, numbered(300))
    with (
        pytest.raises(ValueError, match="told to fail"),
        Stream({"subscription": subscription}, step=fail) as failing,
    ):
        failing.wait_for(1)
    with Stream({"subscription": subscription}) as stream:
        stream.wait_for(300, timeout=8)  # sooner than leases run out
    assert stream.payloads() == dict.fromkeys(numbered(300), 1)


def test_messages_whose_results_cannot_be_published_come_again(pubsub, topic, subscription):
    pubsub.publish_all(topic, numbered(10))
    missing = beam.Map(lambda block: (Message(b"result"),)) | PublishMessages(topic + "-missing")
    with (
        pytest.raises(ServiceError, match=r"topic-.*-missing' does not exist"),
        Stream({"subscription": subscription}, sink=missing) as failing,
    ):
        failing.wait_for_end()
    with Stream({"subscription": subscription}) as stream:
        stream.wait_for(10, timeout=8)


def test_two_sources_run_side_by_side(pubsub):
    topics = [pubsub.new_topic() for _ in range(2)]
    subscriptions = [pubsub.new_subscription(topic) for topic in topics]
    with Stream(*({"subscription": each} for each in subscriptions)) as stream:
        for round_ in range(5):
            for topic in topics:
                pubsub.publish_all(topic, numbered(100, start=100 * round_))
            stream.wait_for(200 * (round_ + 1))
    assert stream.payloads() == dict.fromkeys(numbered(500), 2)
    assert {block.source for block in stream.blocks} == set(subscriptions)


def test_stop_emits_what_was_pulled_and_leaves_the_rest(pubsub, topic, subscription):
    begun, go_on = threading.Event(), threading.Event()

    def wait(block):
        begun.set()
        assert go_on.wait(20)

    pubsub.publish_all(topic, numbered(500))
    with Stream({"subscription": subscription}, step=wait) as stream:
        assert begun.wait(20)
        stop_all()
        pubsub.publish_all(topic, numbered(10_000, start=500))
        go_on.set()
        stream.wait_for_end()
    assert set(numbered(500)) & set(stream.payloads())
    left = pubsub.pull_all(subscription, 10_500 - stream.count())
    assert stream.payloads() + type(stream.payloads())(each.data for each in left) == (
        dict.fromkeys(numbered(10_500), 1)
    )


def test_a_message_delivered_again_while_it_is_held_is_not_new(pubsub, topic, subscription):
    pubsub.publish_all(topic, numbered(50))
    reader = Reader(subscription)
    try:
        held = _take(reader, 50)
        pubsub.deliver_again(subscription)
        pubsub.publish_all(topic, [b"last"])
        (last,) = _take(reader, 1)
        assert last.payload == b"last"
        reader.acknowledge(each.message_id for each in [*held, last])
    finally:
        reader.close()
    assert pubsub.unacknowledged(subscription) == 0


def _take(reader, n):
    taken = []
    while len(taken) < n:
        taken += reader.take(1000, 1 << 20)
    return taken


def test_a_message_acknowledged_after_its_lease_ran_out_is_not_emitted_again(
    pubsub, topic, monkeypatch
):
    # No lease is worth anything, as after a long outage.
    monkeypatch.setattr(pubsub_leases, "FIRST_LEASE_SECS", 0.0)
    monkeypatch.setattr(pubsub_leases, "PROLONG_BEFORE_SECS", -1e9)
    subscription = pubsub.new_subscription(topic, retain_acked_messages=True)
    pubsub.publish_all(topic, numbered(50))
    with Stream({"subscription": subscription}) as stream:
        stream.wait_for(50)
        pubsub.deliver_again(subscription)
        pubsub.publish_all(topic, [b"last"])
        stream.wait_for(51)
    assert stream.payloads() == dict.fromkeys([*numbered(50), b"last"], 1)
    assert pubsub.given_back(subscription) == 0


def test_what_was_pulled_can_be_taken_after_pulling_stopped(pubsub, topic, subscription):
    pubsub.publish_all(topic, numbered(50))
    reader = Reader(subscription)
    try:
        while reader.oldest_us() is None:
            pass
        reader.stop_pulling()
        look_until = time.monotonic() + 1
        while time.monotonic() < look_until:
            assert not reader.is_exhausted
        taken = reader.take(100, 1 << 20)
        assert reader.is_exhausted
    finally:
        reader.close()
    assert [each.payload for each in taken] == numbered(50)


def test_leases_are_prolonged_while_a_message_is_held(pubsub, topic, subscription, monkeypatch):
    monkeypatch.setattr(pubsub_leases, "FIRST_LEASE_SECS", 4.0)
    pubsub.publish(topic, b"held")
    request = {"subscription": subscription, "max_messages": 1}
    (pulled,) = pubsub.subscriber.pull(request=request).received_messages
    pubsub.subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[pulled.ack_id], ack_deadline_seconds=4
    )
    leases = Leases(subscription)
    leases.take_up([(pulled.message.message_id, pulled.ack_id)])
    with pytest.raises(AssertionError, match="0 of 1"):
        pubsub.pull_all(subscription, 1, timeout=8)
    leases.close()
    pubsub.pull_all(subscription, 1)


def test_leases_that_nobody_works_on_are_not_prolonged(pubsub, topic, subscription):
    pubsub.publish(topic, b"held")
    request = {"subscription": subscription, "max_messages": 1}
    (pulled,) = pubsub.subscriber.pull(request=request).received_messages
    pubsub.subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[pulled.ack_id], ack_deadline_seconds=4
    )
    leases = Leases(subscription, is_left=lambda: True)
    try:
        leases.take_up([(pulled.message.message_id, pulled.ack_id)])
        pubsub.pull_all(subscription, 1)
    finally:
        leases.close()


def test_reader_that_is_left_takes_no_message_from_others(pubsub, topic, subscription, monkeypatch):
    monkeypatch.setattr(pubsub_reader, "UNUSED_SECS", 0.0)
    reader = Reader(subscription, confirms_late=True)
    try:
        pubsub.publish(topic, b"for others")
        pubsub.pull_all(subscription, 1)
        with reader.in_use():
            pubsub.publish(topic, b"for it")
            taken = []
            wait_until(lambda: taken.extend(reader.take(1, 1 << 20)) or taken)
    finally:
        reader.close()
    assert [each.payload for each in taken] == [b"for it"]


def test_late_confirmations_acknowledge_all_before_the_source_ends(pubsub, topic, subscription):
    pubsub.publish_all(topic, numbered(100))
    with Stream({"subscription": subscription, "confirms_late": True}) as stream:
        stream.wait_for(100)
    assert stream.payloads() == dict.fromkeys(numbered(100), 1)
    assert pubsub.unacknowledged(subscription) == 0


def test_a_topic_is_read_through_a_subscription_of_its_own(pubsub, topic):
    def subscriptions():
        return list(pubsub.publisher.list_topic_subscriptions(topic=topic))

    with Stream({"topic": topic}) as stream:
        while not subscriptions():
            pass
        pubsub.publish_all(topic, numbered(100))
        stream.wait_for(100)
    assert subscriptions() == []


def test_large_messages_arrive(pubsub, topic, subscription):
    payloads = [b"%03d" % i + bytes(200_000) for i in range(60)]
    for start in range(0, 60, 30):  # a request may have 10 MB
        pubsub.publish_all(topic, payloads[start : start + 30])
    with Stream({"subscription": subscription}) as stream:
        stream.wait_for(60)
    assert stream.payloads() == dict.fromkeys(payloads, 1)
    assert max(sum(map(len, block.payloads)) for block in stream.blocks) <= 8 << 20


_done = threading.Event()


def is_done():
    return _done.is_set()


@pytest.mark.parametrize("settles", [True, False])
def test_message_whose_consequences_are_not_done_at_the_end_comes_again(
    pubsub, topic, subscription, settles
):
    _done.clear()
    pubsub.publish_all(topic, numbered(20))
    with Stream({"subscription": subscription, "settled": is_done}) as stream:
        stream.wait_for(20)
        if settles:
            _done.set()
    assert pubsub.unacknowledged(subscription) == (0 if settles else 20)
    assert stream.payloads() == dict.fromkeys(numbered(20), 1), "held, and so not delivered twice"


def test_message_that_comes_while_others_are_settled_waits_for_its_own_consequences(
    pubsub, topic, subscription
):
    pubsub.publish_all(topic, numbered(2))
    answers = []

    def settled():
        answers.append(None)
        if (
            len(answers) == 1
        ):  # asked about the first: another thread settles it, and a second comes
            reader.settle()
            reader.acknowledge([second])
            return True
        return len(answers) == 2

    reader = Reader(subscription, settled=settled)
    ids = []
    wait_until(lambda: len(ids) == 2 or ids.extend(m.message_id for m in reader.take(2, 10**6)))
    first, second = ids
    reader.acknowledge([first])
    reader.close()
    assert pubsub.unacknowledged(subscription) == 1
