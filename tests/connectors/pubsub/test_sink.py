from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import grpc
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.batch.message import Message
from pipeline.connectors.pubsub.publisher import publisher
from pipeline.connectors.pubsub.sink import PublishMessages
from pipeline.errors import ServiceError


def publish(batches, topic, **settings):
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(batches, reshuffle=False) | PublishMessages(topic, **settings)


def test_messages_arrive_with_their_attributes(pubsub, topic):
    subscription = pubsub.new_subscription(topic)
    publish([(Message(b"a", {"id": "7", "empty": ""}),), (), (Message(b"b"),)], topic)
    found = pubsub.pull_all(subscription, 2)
    assert {each.data: dict(each.attributes) for each in found} == {
        b"a": {"id": "7", "empty": ""},
        b"b": {},
    }


def test_more_than_fits_one_request_arrives(pubsub, topic):
    subscription = pubsub.new_subscription(topic)
    large = tuple(Message(b"%02d" % i + bytes(1_000_000)) for i in range(25))
    many = tuple(Message(b"%d" % i) for i in range(2500))
    publish([large, many], topic)
    found = [each.data for each in pubsub.pull_all(subscription, 2525)]
    assert sorted(found) == sorted(each.data for each in large + many)


def test_order_within_an_ordering_key_is_kept(pubsub, topic):
    subscription = pubsub.new_subscription(topic, enable_message_ordering=True)
    sent = [
        Message(b"%d" % i, ordering_key=("", "odd", "even", "third")[i % 4]) for i in range(6000)
    ]
    publish([tuple(sent[start : start + 7]) for start in range(0, 6000, 7)], topic)
    found = pubsub.pull_all(subscription, 6000, timeout=60)
    for key in ("odd", "even", "third"):
        assert [each.data for each in found if each.ordering_key == key] == [
            each.data for each in sent if each.ordering_key == key
        ]
    assert sum(each.ordering_key == "" for each in found) == 1500


def test_an_outage_is_waited_for_and_said_once_each_way(
    pubsub, topic, proxy, monkeypatch, warnings
):
    subscription = pubsub.new_subscription(topic)
    line = proxy(pubsub.address)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", line.address)
    line.cut()
    messages = tuple(Message(b"%d" % i) for i in range(3000))
    with ThreadPoolExecutor(1) as beside:
        job = beside.submit(publish, [messages], topic)
        for _ in range(3):
            assert line.refused.acquire(timeout=20)
        assert not job.done()
        line.restore()
        job.result(timeout=30)
    found = pubsub.pull_all(subscription, 3000)
    assert {each.data for each in found} == {each.data for each in messages}
    began, ended = warnings.texts
    assert f"topic '{topic}': Pub/Sub does not answer" in began
    assert f"topic '{topic}': Pub/Sub answers again" in ended


def test_an_outage_that_does_not_end_fails_the_job(pubsub, topic, proxy, monkeypatch):
    line = proxy(pubsub.address)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", line.address)
    line.cut()
    with pytest.raises(
        ServiceError, match=f"{topic}': Pub/Sub cannot be reached at {line.address}"
    ):
        publish([(Message(b"a"),)], topic, give_up_secs=0.5)


def test_a_message_that_is_too_large_fails_the_job_by_topic(topic):
    with pytest.raises(ServiceError, match=f"topic '{topic}': found a message of 11,000,000 bytes"):
        publish([(Message(bytes(11_000_000)),)], topic)


def test_a_message_that_the_topic_refuses_fails_the_job_with_what_a_schema_asks(service):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    service(Publish=(invalid, "Invalid data in message: Message failed schema validation."))
    topic = "projects/test-project/topics/with-schema"
    with pytest.raises(ServiceError, match=f"'{topic}': .*give one without a schema"):
        publisher(topic).publish([Message(b"{}")], give_up_secs=5.0)
    service(Publish=(invalid, "The ordering key is too long."))
    with pytest.raises(ServiceError, match=r"too long\.$"):
        publisher(topic).publish([Message(b"{}")], give_up_secs=5.0)
