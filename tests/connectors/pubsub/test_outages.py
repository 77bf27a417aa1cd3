"""A service that does not answer is waited for; a subscription that is gone is told."""

import threading

import grpc
import pytest

from pipeline.connectors.pubsub import reader as pubsub_reader
from pipeline.connectors.pubsub.reader import Reader
from pipeline.errors import ServiceError
from tests.connectors.pubsub.streams import Stream, numbered
from tests.support.waiting import wait_until


@pytest.fixture
def line(pubsub, proxy, monkeypatch):
    """The line to Pub/Sub, for a test to cut; publishing does not go through it."""
    line = proxy(pubsub.address)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", line.address)
    # The emulator gives messages to the waiting request of a lost connection, which must end first.
    monkeypatch.setattr(pubsub_reader, "PATIENT_SECS", 0.5)
    return line


def test_an_outage_is_said_once_each_way_and_loses_nothing(
    pubsub, topic, subscription, line, warnings
):
    with Stream({"subscription": subscription}) as stream:
        pubsub.publish_all(topic, numbered(200))
        stream.wait_for(200)
        line.cut()
        pubsub.publish_all(topic, numbered(200, start=200))
        for _ in range(3):
            assert line.refused.acquire(timeout=20)
        line.restore()
        stream.wait_for(400)
        pubsub.publish_all(topic, numbered(200, start=400))
        stream.wait_for(600)
    assert stream.payloads() == dict.fromkeys(numbered(600), 1)
    began, ended = warnings.texts
    assert "does not answer" in began
    assert "answers again" in ended
    assert subscription in began
    assert subscription in ended


def test_what_cannot_be_acknowledged_in_an_outage_is_acknowledged_after_it(
    pubsub, topic, subscription, line, warnings
):
    begun, go_on = threading.Event(), threading.Event()

    def wait(block):
        begun.set()
        assert go_on.wait(20)

    pubsub.publish_all(topic, numbered(50))
    with Stream({"subscription": subscription}, step=wait) as stream:
        assert begun.wait(20)
        line.cut()
        go_on.set()
        stream.wait_for(50)
        assert line.refused.acquire(timeout=20)
        line.restore()
        assert warnings.wait_for(2)
    assert pubsub.unacknowledged(subscription) == 0


def test_a_request_that_times_out_is_no_outage_while_the_service_answers(service, warnings):
    asked = threading.Semaphore(0)

    def nothing_to_read(request):
        if b"\x10\x01" in request:  # return_immediately
            return b""
        asked.release()
        return grpc.StatusCode.DEADLINE_EXCEEDED

    service(Pull=nothing_to_read)
    reader = Reader("projects/test-project/subscriptions/silent")
    try:
        for _ in range(3):
            assert asked.acquire(timeout=20)
    finally:
        reader.close()
    assert warnings.texts == []


def test_a_service_that_falls_silent_is_an_outage(subscription, line, warnings, monkeypatch):
    monkeypatch.setattr(pubsub_reader, "IMPATIENT_SECS", 0.5)
    reader = Reader(subscription)
    try:
        line.stall()
        assert warnings.wait_for(1)
        line.restore()
        assert warnings.wait_for(2)
    finally:
        reader.close()
    assert ["does not answer" in text for text in warnings.texts] == [True, False]


def test_a_subscription_that_is_not_there_fails_the_job_by_name(pubsub):
    missing = "projects/test-project/subscriptions/missing"
    with (
        pytest.raises(ServiceError, match=f"subscription '{missing}' does not exist"),
        Stream({"subscription": missing}) as stream,
    ):
        stream.wait_for(1)


def test_a_subscription_that_may_not_be_read_fails_the_job_naming_the_role(service):
    service(Pull=grpc.StatusCode.PERMISSION_DENIED)
    with (
        pytest.raises(ServiceError, match=r"the role roles/pubsub\.subscriber"),
        Stream({"subscription": "projects/test-project/subscriptions/secret"}) as stream,
    ):
        stream.wait_for(1)


def test_a_topic_that_is_not_there_fails_the_job_by_name(pubsub):
    missing = "projects/test-project/topics/missing"
    with (
        pytest.raises(ServiceError, match=f"topic '{missing}' does not exist"),
        Stream({"topic": missing}) as stream,
    ):
        stream.wait_for(1)


@pytest.fixture
def impatient(monkeypatch):
    """A source that asks, looks and tries again soon."""
    monkeypatch.setattr(pubsub_reader, "PATIENT_SECS", 0.2)
    monkeypatch.setattr(pubsub_reader, "SILENCE_SECS", 0.2)
    monkeypatch.setattr(pubsub_reader, "RETRY_SECS", 0.2)


def subscriptions_of(pubsub, topic):
    return len(list(pubsub.publisher.list_topic_subscriptions(topic=topic)))


@pytest.mark.parametrize("own", [True, False], ids=["topic", "subscription"])
@pytest.mark.usefixtures("impatient")
def test_a_source_whose_topic_is_deleted_reads_what_is_left_and_fails_by_name(
    pubsub, topic, subscription, own, warnings
):
    begun, go_on = threading.Event(), threading.Event()

    def wait(block):
        begun.set()
        assert go_on.wait(20)

    read = {"topic": topic} if own else {"subscription": subscription}
    name = topic if own else subscription
    with Stream({**read, "block_rows": 10}, step=wait) as stream:
        wait_until(lambda: subscriptions_of(pubsub, topic) == 1 + own)
        pubsub.publish_all(topic, numbered(200))
        assert begun.wait(20)
        pubsub.publisher.delete_topic(topic=topic)
        go_on.set()
        stream.wait_for(200)
        with pytest.raises(ServiceError, match=f"'{name}' was deleted, so no message comes"):
            stream.wait_for(201)
    assert stream.payloads() == dict.fromkeys(numbered(200), 1)
    assert "reading what may be left" in warnings.texts[0]


@pytest.mark.usefixtures("impatient")
def test_a_source_that_is_not_required_says_again_and_again_that_it_is_gone(
    pubsub, topic, subscription, warnings
):
    dry = pubsub.new_subscription(gone := pubsub.new_topic())
    with Stream({"subscription": subscription}, {"subscription": dry, "required": False}) as stream:
        pubsub.publisher.delete_topic(topic=gone)
        assert warnings.wait_for(4)
        pubsub.subscriber.delete_subscription(subscription=dry)
        wait_until(lambda: "does not exist" in warnings.texts[-1])
        pubsub.publish_all(topic, numbered(10))
        stream.wait_for(10)
        again = {"name": dry, "topic": topic}
        pubsub.subscriber.create_subscription(request=again)
        pubsub.publish_all(topic, numbered(10, start=10))
        wait_until(lambda: stream.count() > 20)
    assert sum("goes on without" in text for text in warnings.texts) >= 2


def test_silence_is_no_failure_where_nobody_may_look_at_the_subscription(service, impatient):
    looked = threading.Event()

    def refused(request):
        looked.set()
        return grpc.StatusCode.PERMISSION_DENIED

    pulls = threading.Semaphore(0)

    def nothing(request):
        pulls.release()
        return b"" if b"\x10\x01" in request else grpc.StatusCode.DEADLINE_EXCEEDED

    service(Pull=nothing, GetSubscription=refused)
    reader = Reader("projects/test-project/subscriptions/silent")
    try:
        assert looked.wait(20)
        for _ in range(10):
            assert pulls.acquire(timeout=20)
        assert reader.take(1, 1) == []
    finally:
        reader.close()
